"""Drawn sequences: ids that stay, mistakes that repeat, a video that opens."""

from itertools import islice

import cv2
import numpy as np

from mmentity.preparation.sequences import (
    DrawnSequence,
    NetworkNoise,
    NoisyNetwork,
    SequenceOptions,
    write_demo_video,
)
from mmentity.tracking import EntityTracker, Frame, TrackOptions

SMALL = SequenceOptions(frames=60, height=96, width=128)


def test_things_move_leave_and_return():
    frames = list(DrawnSequence(SMALL))
    assert len(frames) == len(DrawnSequence(SMALL)) == 60
    assert all(img.shape == (96, 128, 3) and ids.shape == (96, 128) for img, ids in frames)
    things = range(4, 10)
    present = np.array([[number in ids for number in things] for _, ids in frames])
    assert present.any(axis=0).sum() >= 5
    assert (~present).any()
    again = DrawnSequence(SMALL).draw(17)
    np.testing.assert_array_equal(again.img, frames[17].img)
    np.testing.assert_array_equal(again.ids, frames[17].ids)


def test_a_network_without_mistakes_has_the_same_regions():
    network = NoisyNetwork(NetworkNoise(jitter=0, drop=0, merge=0, split=0))
    for _, ids in islice(DrawnSequence(SMALL), 3):
        entities, scores = network(ids)
        assert entities.num_entities == len(scores) == len(np.unique(ids[ids > 0]))
        pairs = np.unique(np.stack([entities.ids[0].ravel(), ids.ravel()]), axis=1)
        assert pairs.shape[1] == len(np.unique(ids))
        assert (np.diff(scores) <= 0).all()


def test_mistakes_repeat_with_their_seed():
    network = NetworkNoise(jitter=2, drop=0.2, merge=0.2, split=0.1)
    runs = [
        [
            NoisyNetwork(network, seed)(ids).entities.ids
            for _, ids in islice(DrawnSequence(SMALL), 3)
        ]
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_memory_and_flow_keep_ids_of_drawn_things():
    tracks = {}
    for name, options in {
        'plain': TrackOptions(memory=0),
        'all': TrackOptions(memory=20, flow=True),
    }.items():
        network, tracker, number = NoisyNetwork(), EntityTracker(options), 0
        for img, ids in DrawnSequence(SMALL):
            tracked = tracker.update(Frame(*network(ids), img))
            number = max(number, int(tracked.track_ids.max()))
        tracks[name] = number
    assert tracks['all'] < 0.6 * tracks['plain']


def test_the_video_has_the_frames(tmp_path):
    path = write_demo_video(tmp_path / 'walk.avi', SequenceOptions(frames=5, height=96, width=128))
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(5)]
    assert [frame.shape for frame in frames] == [(96, 128, 3)] * 5
    assert not capture.read()[0]
