"""Tracked runs: files, resume after a kill, sequences, bad frames, contradicting options."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from mmentity.apis.export import OutputOptions, RunOptions
from mmentity.apis.inferencer import Outcome
from mmentity.apis.inputs import ListOptions
from mmentity.apis.tracked import TrackedRun
from mmentity.preparation.sequences import DrawnSequence, NoisyNetwork, SequenceOptions
from mmentity.tracking import TrackOptions
from tests.apis.conftest import MODEL, make_result, save_scenes
from tests.apis.test_inputs import write_video

DRAWN = SequenceOptions(frames=12, height=96, width=128)
TRACKING = TrackOptions(memory=5, flow=True)


@pytest.fixture
def drawn_network(inferencer, monkeypatch):
    """The inferencer, with the mistakes of a drawn network in place of the network's."""

    def outcomes(images, options):
        for image in images:
            try:
                img = inferencer.read(image, options.size)[..., ::-1]
            except Exception as error:
                yield Outcome(image, error)
                continue
            frame = int(image.name.rpartition('/')[2])
            # the ids of a frame are in the columns of its last row, see save_frames
            ids = np.load(f'{image.path.rpartition(".")[0]}.npy')
            entities, scores = NoisyNetwork(seed=frame)(ids)
            yield Outcome(
                image,
                make_result(
                    entities.ids[0],
                    scores,
                    image.name,
                    path=image.path,
                    image=np.ascontiguousarray(img) if options.keep_image else None,
                ),
            )

    monkeypatch.setattr(inferencer, 'outcomes', outcomes)
    return inferencer


def save_frames(folder, options=DRAWN):
    folder.mkdir(parents=True)
    for k, (img, ids) in enumerate(DrawnSequence(options)):
        Image.fromarray(img).save(folder / f'{k}.png')
        np.save(folder / f'{k}.npy', ids)
    return folder


def id_maps(out):
    return {
        path.relative_to(out / 'idmap').as_posix(): cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in sorted((out / 'idmap').rglob('*.png'))
    }


def table_of(out, name):
    with (out / 'tracks' / f'{name}.csv').open(newline='') as stream:
        return list(csv.DictReader(stream))


def frames_of(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while capture.grab():
        frames.append(capture.retrieve()[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def contents(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob('*')
        if path.is_file() and path.suffix not in ('.mp4', '.avi') and 'manifest' not in path.name
    }


def test_a_folder_becomes_maps_a_table_and_a_video(drawn_network, tmp_path):
    frames, out = save_frames(tmp_path / 'walk' / 'frames'), tmp_path / 'out'
    outputs = OutputOptions(formats=('idmap', 'overlay'), sheet=True)
    manifest = TrackedRun(frames, out, outputs, tracking=TRACKING)(drawn_network)
    assert (manifest.written, manifest.failures) == (12, [])
    maps, rows = id_maps(out), table_of(out, 'walk')
    seen = {k: [f for f in range(12) if k in maps[f'{f}.png']] for k in range(1, len(rows) + 1)}
    assert [int(row['track']) for row in rows] == list(range(1, len(rows) + 1))
    for row in rows:
        of_track = seen[int(row['track'])]
        assert (int(row['first']), int(row['last'])) == (of_track[0], of_track[-1])
        assert (row['first_name'], row['last_name']) == (row['first'], row['last'])
        assert int(row['frames']) == len(of_track)
        areas = [(maps[f'{f}.png'] == int(row['track'])).sum() for f in of_track]
        assert float(row['mean_area']) == pytest.approx(np.mean(areas), abs=0.06)
        assert row['events'].startswith(('birth@', 'split:'))
        assert 0.5 <= float(row['mean_score']) <= 1
    assert sum(len(of_track) == 12 for of_track in seen.values()) >= 2
    assert len(rows) < 12
    sidecar = json.loads((out / 'entities' / '5.json').read_text())
    assert {e['id'] for e in sidecar['entities']} == set(np.unique(maps['5.png'])) - {0}
    (video,) = (out / 'video').iterdir()
    assert video.stem == 'walk'
    shown, fps = frames_of(video)
    assert [frame.shape for frame in shown] == [(96, 128, 3)] * 12
    assert fps == 10
    record = json.loads((out / 'manifest.json').read_text())
    assert record['tracking'] == {'memory': 5, 'flow': True, 'every': 1}


def test_a_run_that_was_stopped_goes_on_with_the_same_ids(drawn_network, tmp_path):
    frames, whole, parts = save_frames(tmp_path / 'walk'), tmp_path / 'whole', tmp_path / 'parts'
    TrackedRun(frames, whole, tracking=TRACKING)(drawn_network)
    options = RunOptions(skip_existing=True, workers=1)
    TrackedRun(frames, parts, options=options, tracking=TRACKING)(drawn_network)
    assert contents(parts) == contents(whole)
    for name in ('4', '7', '8', '9', '10', '11'):
        (parts / 'entities' / f'{name}.json').unlink()
    (parts / 'tracks' / 'walk.csv').unlink()
    manifest = TrackedRun(frames, parts, options=options, tracking=TRACKING)(drawn_network)
    assert (manifest.skipped, manifest.written) == (6, 6)
    assert contents(parts) == contents(whole)
    (video,) = (parts / 'video').iterdir()
    assert len(frames_of(video)[0]) == 12


def test_kept_ids_that_do_not_follow_are_refused(drawn_network, tmp_path):
    frames, out = save_frames(tmp_path / 'walk'), tmp_path / 'out'
    options = RunOptions(skip_existing=True)
    TrackedRun(frames, out, tracking=TRACKING)(drawn_network)
    swapped = cv2.imread(str(out / 'idmap/3.png'), cv2.IMREAD_UNCHANGED)
    swapped = np.where(swapped == 1, 2, np.where(swapped == 2, 1, swapped)).astype(np.uint8)
    cv2.imwrite(str(out / 'idmap/3.png'), swapped)
    before = contents(out)
    with pytest.raises(ValueError, match=r'written of .*3\.png do not follow .* drop --skip-exi'):
        TrackedRun(frames, out, options=options, tracking=TRACKING)(drawn_network)
    assert contents(out) == before
    with pytest.raises(ValueError, match=r'made with another tracking .*choose another --out'):
        TrackedRun(frames, out, options=options, tracking=TrackOptions(6))(drawn_network)
    cv2.imwrite(str(out / 'idmap/3.png'), swapped[:50])
    with pytest.raises(ValueError, match=r'3\.png and .*3\.json do not belong together'):
        TrackedRun(frames, out, options=options, tracking=TRACKING)(drawn_network)


def test_frames_of_another_size_and_damaged_ones_fail_by_themselves(drawn_network, tmp_path):
    frames, out = save_frames(tmp_path / 'walk'), tmp_path / 'out'
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(frames / '5.png')
    np.save(frames / '5.npy', np.ones((40, 50), np.int32))
    (frames / '7.png').write_bytes(b'damaged')
    manifest = TrackedRun(frames, out, tracking=TRACKING)(drawn_network)
    assert manifest.written == 10
    causes = {failure['name']: failure['reason'] for failure in manifest.failures}
    assert set(causes) == {'5', '7'}
    assert 'frame 5 is 40x50, those before it 96x128' in causes['5']
    assert '--resize WxH' in causes['5']
    rows = table_of(out, 'walk')
    assert max(int(row['last']) for row in rows) == 11
    assert max(int(row['frames']) for row in rows) >= 9
    resized = TrackedRun(
        frames, tmp_path / 'resized', OutputOptions(size=(48, 64)), tracking=TRACKING
    )(drawn_network)
    assert [failure['name'] for failure in resized.failures] == ['7']
    assert {m.shape for m in id_maps(tmp_path / 'resized').values()} == {(48, 64)}


def test_each_folder_and_video_is_a_sequence(inferencer, tmp_path):
    save_scenes(tmp_path / 'in' / 'a', 3)
    save_scenes(tmp_path / 'in' / 'a' / 'b', 2)
    write_video(tmp_path / 'in' / 'walk.avi', 4)
    (tmp_path / 'in' / 'broken.avi').write_bytes(b'no video')
    out = tmp_path / 'out'
    run = TrackedRun(
        tmp_path / 'in', out, OutputOptions(score_thr=0), listing=ListOptions(recursive=True)
    )
    manifest = run(inferencer)
    assert (manifest.written, len(manifest.failures)) == (9, 1)
    tables = {p.relative_to(out / 'tracks').as_posix() for p in (out / 'tracks').rglob('*.csv')}
    assert tables == {'a.csv', 'a/b.csv', 'walk.csv'}
    for name in ('a', 'a/b', 'walk'):
        assert table_of(out, name)[0]['track'] == '1'
    (video,) = (out / 'video').glob('walk.*')
    shown, fps = frames_of(video)
    assert len(shown) == 4
    assert fps == pytest.approx(frames_of(tmp_path / 'in' / 'walk.avi')[1])
    every = TrackedRun(tmp_path / 'in' / 'walk.avi', tmp_path / 'half', options=RunOptions(every=2))
    assert every(inferencer).written == 2


def test_more_tracks_than_ids(drawn_network, tmp_path):
    frames, out = save_frames(tmp_path / 'walk'), tmp_path / 'out'
    run = TrackedRun(frames, out, OutputOptions(id_dtype='uint8'))
    run.tracking = TrackOptions(memory=0, largest_id=4)
    match = r'\.png: frame \d+ is the first with track \d+, .*up to 4; write uint16 \(--id-dtype'
    with pytest.raises(ValueError, match=match):
        run(drawn_network)
    assert not (out / 'tracks').exists()
    assert not list((out / 'video').glob('*'))
    assert TrackedRun(frames, out, OutputOptions(id_dtype='uint8')).tracking.largest_id == 255
    assert TrackedRun(frames, out).tracking.largest_id == 65535


def test_options_that_do_not_go_together(tmp_path):
    frames = save_scenes(tmp_path / 'frames', 2)
    for outputs, options, match in (
        (OutputOptions(), RunOptions(shard=(1, 2)), 'shard and track do not go together'),
        (OutputOptions(ids='rank'), RunOptions(), 'ids=rank and track'),
        (OutputOptions(formats=('rle',)), RunOptions(skip_existing=True), 'add idmap to --format'),
    ):
        with pytest.raises(ValueError, match=match):
            TrackedRun(frames, tmp_path / 'out', outputs, options)
    save_scenes(tmp_path / 'one' / 'rgb', 1)
    save_scenes(tmp_path / 'two' / 'one' / 'rgb', 1)
    inputs = [str(tmp_path / 'one' / 'rgb'), str(tmp_path / 'two' / 'one' / 'rgb')]
    layout = OutputOptions(layout='{sequence}/{parent}-{frame}')
    with pytest.raises(ValueError, match='would both be written'):
        TrackedRun(inputs, tmp_path / 'out', layout)


def test_the_command(predict_tool, weights, tmp_path):
    write_video(tmp_path / 'walk.avi', 4)
    fixed = ('--model', MODEL, '--weights', weights, '--device', 'cpu', '--score-thr', 0)
    out = tmp_path / 'out'
    run = (tmp_path / 'walk.avi', '--out', out, *fixed)
    assert predict_tool(*run, '--track', '--track-memory', 3, '--track-flow') == 0
    assert (out / 'tracks' / 'walk.csv').is_file()
    assert len(id_maps(out)) == 4
    record = json.loads((out / 'manifest.json').read_text())
    assert record['tracking'] == {'memory': 3, 'flow': True, 'every': 1}
    again = (*run, '--track', '--track-memory', 3, '--track-flow', '--skip-existing')
    assert predict_tool(*again) == 0
    assert json.loads((out / 'manifest.json').read_text())['images']['skipped'] == 4
    assert 'made with another tracking' in predict_tool(*run, '--skip-existing')
    assert '--track-flow without --track' in predict_tool(*run, '--track-flow')
    assert 'track-memory is -1' in predict_tool(*run, '--track', '--track-memory', -1)
    assert '--track without --out' in predict_tool(tmp_path / 'walk.avi', '--track', *fixed)
    plain = tmp_path / 'plain'
    run = (tmp_path / 'walk.avi', '--out', plain, *fixed)
    assert predict_tool(*run, '--track', '--no-track-video') == 0
    assert not (plain / 'video').exists()
