"""Ids through hand-drawn frames: moves, occlusion, merges, splits, gaps, bad input."""

import cv2
import numpy as np
import pytest

from mmentity.structures import EntityMap
from mmentity.tracking import (
    EntityTracker,
    Frame,
    FrameSizeError,
    TooManyTracksError,
    TrackEvent,
    TrackOptions,
)

SIZE = (60, 100)


def frame(*boxes, background=True, size=SIZE, image=None):
    """Draw boxes (x, y, width, height), later ones in front, over a background that is entity 1."""
    ids = np.full(size, int(background), dtype=np.int32)
    for number, (x, y, width, height) in enumerate(boxes, start=1 + background):
        ids[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)] = number
    present, ids = np.unique(ids, return_inverse=True)
    ids = ids.reshape(size).astype(np.int32) + (present[0] != 0)
    number = int(ids.max())
    return Frame(EntityMap(ids, number), np.linspace(0.9, 0.5, number), image)


def ids_at(tracked, *points):
    """Track ids at places (x, y)."""
    return [int(tracked.id_map[y, x]) for x, y in points]


def kinds(tracked):
    return [(event.kind, event.track, event.other) for event in tracked.events]


def test_ids_follow_what_moves():
    tracker = EntityTracker()
    first = tracker.update(frame((10, 10, 12, 12), (70, 30, 12, 12)))
    assert first.track_ids.tolist() == [1, 2, 3]
    assert kinds(first) == [('birth', 1, None), ('birth', 2, None), ('birth', 3, None)]
    for step in range(1, 12):
        # the boxes swap their rows
        tracked = tracker.update(frame((70 - 4 * step, 30, 12, 12), (10 + 4 * step, 10, 12, 12)))
        assert ids_at(tracked, (16 + 4 * step, 16), (76 - 4 * step, 36), (0, 0)) == [2, 3, 1]
        assert tracked.events == [] == tracked.ended
        assert tracked.frame == step
    tracks = tracker.finish()
    assert [(t.id, t.first, t.last, t.frames) for t in tracks] == [
        (k, 0, 11, 12) for k in (1, 2, 3)
    ]
    assert tracks[1].mean_area == 144
    assert tracks[0].mean_score == pytest.approx(0.9)


def test_the_result_of_the_frame_stays_as_it_is():
    given = frame((10, 10, 12, 12))
    before = given.entities.ids.copy()
    tracker = EntityTracker()
    tracker.update(frame((40, 40, 5, 5), (10, 10, 12, 12)))
    tracked = tracker.update(given)
    assert tracked.result is given
    np.testing.assert_array_equal(given.entities.ids, before)
    assert tracked.id_map.dtype == np.int32
    assert tracked.track_ids.tolist() == [1, 3]


def behind_a_pillar(options):
    """Ids of a box before it goes behind a pillar and after it comes out, with the events."""
    tracker, ids, events = EntityTracker(options), [], []
    for x in range(2, 84, 2):
        tracked = tracker.update(frame((x, 24, 12, 12), (40, 0, 16, 60)))
        events += [event.kind for event in tracked.events]
        # no part of it is seen from 40 to 44
        ids.append(0 if 40 <= x <= 44 else ids_at(tracked, (x + 11 if x > 44 else x, 30))[0])
    return ids, events


def test_what_passes_behind_something_keeps_its_id():
    ids, events = behind_a_pillar(TrackOptions(memory=20))
    assert ids[0] == ids[-1] == 2
    assert 'merge' not in events
    ids, events = behind_a_pillar(TrackOptions(memory=0))
    assert ids[0] == 2
    assert ids[-1] == 4
    assert 'lost' not in events


def test_what_leaves_at_the_border_and_returns_keeps_its_id():
    tracker = EntityTracker()
    xs = [*range(10, -25, -3), *range(-25, 11, 3)]
    tracked = [tracker.update(frame((x, 20, 20, 20))) for x in xs]
    assert ids_at(tracked[0], (15, 30)) == ids_at(tracked[-1], (12, 30)) == [2]
    assert sum(event.kind == 'lost' for t in tracked for event in t.events) >= 1


def test_merge_and_split():
    tracker = EntityTracker(TrackOptions(memory=5))
    apart = frame((10, 10, 20, 20), (30, 10, 20, 14))
    tracker.update(apart)
    merged = tracker.update(frame((10, 10, 40, 20)))
    assert kinds(merged) == [('merge', 3, 2)]
    assert merged.track_ids.tolist() == [1, 2]
    again = tracker.update(apart)
    assert kinds(again) == [('found', 3, None)]
    assert again.track_ids.tolist() == [1, 2, 3]


def test_a_new_part_is_a_split():
    tracker = EntityTracker()
    tracker.update(frame((10, 10, 40, 20)))
    tracked = tracker.update(frame((10, 10, 26, 20), (36, 10, 14, 20)))
    assert kinds(tracked) == [('split', 3, 2)]
    assert ids_at(tracked, (12, 12), (45, 12)) == [2, 3]


def test_memory_ends():
    tracker = EntityTracker(TrackOptions(memory=3))
    tracker.update(frame((10, 10, 12, 12)))
    gone = [tracker.update(frame()) for _ in range(5)]
    assert kinds(gone[0]) == [('merge', 2, 1)] or kinds(gone[0]) == [('lost', 2, None)]
    assert [kinds(tracked) for tracked in gone[1:]] == [[], [], [('death', 2, None)], []]
    (ended,) = gone[3].ended
    assert (ended.id, ended.first, ended.last, ended.frames) == (2, 0, 0, 1)
    back = tracker.update(frame((10, 10, 12, 12)))
    assert 3 in back.track_ids
    assert [track.id for track in tracker.finish()] == [1, 3]


def test_what_is_kept_does_not_grow():
    rng = np.random.default_rng(0)
    tracker = EntityTracker(TrackOptions(memory=4))
    sizes = []
    for _ in range(60):
        boxes = [(*rng.integers(0, 50, 2).tolist(), 9, 9) for _ in range(4)]
        tracker.update(frame(*boxes))
        sizes.append(len(tracker._scene.hidden) + len(tracker._scene.seen))
    assert max(sizes[30:]) <= max(sizes[:30]) + 4 <= 5 * 5 + 4


def test_frames_that_are_left_out_count():
    tracker = EntityTracker()
    tracker.update(frame((10, 10, 12, 12)))
    tracker.skip()
    tracked = tracker.update(frame((12, 10, 12, 12)))
    assert (tracked.frame, tracked.track_ids.tolist()) == (2, [1, 2])


def test_flow_follows_a_camera_that_moves_by_more_than_things_are_wide():
    rng = np.random.default_rng(0)
    wide = cv2.resize(rng.integers(0, 255, (20, 30, 3), np.uint8), (240, 160))
    xs = range(20, 220, 10)
    kept = {}
    for flow in (False, True):
        tracker = EntityTracker(TrackOptions(memory=0, flow=flow))
        for left in (0, 10, 20):
            # posts of one size stand side by side, so that each comes to the place of another
            posts = [(x - left, 40, 10, 80) for x in xs if left < x < left + 190]
            image = np.ascontiguousarray(wide[:, left : left + 200])
            tracked = tracker.update(frame(*posts, size=(160, 200), image=image))
            ids = ids_at(tracked, (104 - left, 80))
            kept.setdefault(flow, []).extend(ids)
    assert len(set(kept[True])) == 1
    assert len(set(kept[False])) == 3


def test_order_of_the_rows_changes_nothing():
    rng = np.random.default_rng(1)
    plain, shuffled = EntityTracker(), EntityTracker()
    for step in range(30):
        boxes = [(int(10 * k + 3 * step) % 90, 8 * k, 9, 8) for k in range(6)]
        one = frame(*boxes)
        # new tracks are numbered in the order of the rows, so these come in the same
        order = (
            np.sort(rng.permutation(one.entities.num_entities))
            if step == 0
            else rng.permutation(one.entities.num_entities)
        )
        numbers = np.argsort(order) + 1
        other = Frame(EntityMap(one.entities.renumber(numbers.astype(np.int32))), one.scores[order])
        tracked, moved = plain.update(one), shuffled.update(other)
        known = tracked.track_ids <= 7
        np.testing.assert_array_equal(
            np.where(np.isin(tracked.id_map, tracked.track_ids[known]), tracked.id_map, 0),
            np.where(np.isin(moved.id_map, tracked.track_ids[known]), moved.id_map, 0),
        )


def test_another_size_is_refused_and_nothing_is_lost():
    tracker = EntityTracker()
    tracker.update(frame((10, 10, 12, 12)))
    with pytest.raises(FrameSizeError, match='frame 1 is 30x40, those before it 60x100'):
        tracker.update(frame(size=(30, 40)))
    assert tracker.update(frame((11, 10, 12, 12))).track_ids.tolist() == [1, 2]
    tracker.finish()
    assert tracker.update(frame(size=(30, 40))).track_ids.tolist() == [1]


def test_bad_frames():
    layers = EntityMap(np.array([[[1, 1]], [[0, 2]]]))
    with pytest.raises(ValueError, match='2 layers; the tracker follows up to 65,535 that do not'):
        EntityTracker().update(Frame(layers, np.ones(2)))
    with pytest.raises(ValueError, match='60x100, and there is none; predict with keep_image'):
        EntityTracker(TrackOptions(flow=True)).update(frame())
    tracker = EntityTracker(TrackOptions(largest_id=2))
    tracker.update(frame((10, 10, 5, 5)))
    with pytest.raises(TooManyTracksError, match='frame 1 is the first with track 3, .* up to 2'):
        tracker.update(frame((10, 10, 5, 5), (40, 40, 5, 5)))


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ({'memory': -1}, 'track-memory is -1'),
        ({'min_iou': 0}, 'min_iou is 0'),
        ({'min_share': 2}, 'min_share is 2'),
        ({'largest_id': 0}, 'largest_id is 0'),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        TrackOptions(**options)


def test_a_frame_without_entities_and_an_entity_without_pixels():
    tracker = EntityTracker()
    empty = tracker.update(frame(background=False))
    assert (empty.track_ids.tolist(), empty.events) == ([], [])
    tracked = tracker.update(Frame(EntityMap(np.eye(*SIZE, dtype=int), 2), np.ones(2)))
    assert tracked.track_ids.tolist() == [1, 0]
    assert tracked.events == [TrackEvent('birth', 1, 1)]
