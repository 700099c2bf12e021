"""Batches of rows, as engines such as Ray Data hand them over."""

import json
import pickle
import re

import numpy as np
import pytest
from PIL import Image

from mmentity.apis import EntityPredictor, list_rows
from mmentity.apis.export import PRESETS, OutputOptions, PredictionRun
from mmentity.apis.inputs import ListOptions
from tests.apis.conftest import MODEL, contents, save_scenes, scene
from tests.apis.test_inputs import write_video
from tests.conftest import ROOT

OUTPUTS = OutputOptions(formats=('idmap', 'rle', 'npz', 'overlay', 'cutout'), sheet=True)


@pytest.fixture
def predictor(weights):
    def build(out=None, outputs=OUTPUTS, **options):
        return EntityPredictor(MODEL, weights, out, outputs, device='cpu', **options)

    return build


def batches(rows, size):
    """Columns of neighbouring rows, of the types that Ray Data gives."""
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield {key: np.array([row[key] for row in part], dtype=object) for key in part[0]}


def test_the_package_does_not_import_ray():
    for path in (ROOT / 'mmentity').rglob('*.py'):
        assert not re.search(r'^\s*(import|from) ray\b', path.read_text(), re.MULTILINE), path


def test_workers_write_the_files_of_a_single_run(predictor, inferencer, weights, tmp_path):
    folder = save_scenes(tmp_path / 'in', 7)
    (folder / '3.png').write_bytes((folder / '3.png').read_bytes()[:100])
    single = PredictionRun(f'{tmp_path}/*/*.png', tmp_path / 'single', OUTPUTS)
    manifest = single(inferencer, weights)
    (tmp_path / 'single' / 'index.html').unlink()
    rows = list_rows(f'{tmp_path}/*/*.png', OUTPUTS)
    assert [row['name'] for row in rows] == [f'in/{k}' for k in range(7)]
    one, other = (predictor(tmp_path / 'many', batch_size=2) for _ in range(2))
    done = [worker(batch) for worker, batch in zip((one, other, one), batches(rows, 3))]
    assert contents(tmp_path / 'single') == contents(tmp_path / 'many')
    assert not (tmp_path / 'many' / '.partial').exists()
    columns = {key: np.concatenate([columns[key] for columns in done]) for key in done[0]}
    assert set(columns) == {'path', 'name', 'status', 'num_entities', 'error'}
    assert columns['name'].tolist() == [row['name'] for row in rows]
    failed = columns['status'] == 'failed'
    assert np.flatnonzero(failed).tolist() == [3]
    assert columns['error'][3] == manifest.failures[0]['reason']
    assert not any(columns['error'][~failed])
    assert columns['num_entities'].sum() == manifest.summary.written > 6


def test_what_is_there_is_kept(predictor, tmp_path):
    rows = list_rows(save_scenes(tmp_path / 'in', 3), OUTPUTS)
    (batch,) = batches(rows, 3)
    first = predictor(tmp_path / 'out')(batch)
    (tmp_path / 'out' / 'idmap' / '1.png').unlink()
    again = predictor(tmp_path / 'out', skip_existing=True)(batch)
    assert again['status'].tolist() == ['kept', 'written', 'kept']
    assert np.array_equal(first['num_entities'], again['num_entities'])
    (path,) = (tmp_path / 'out').glob('manifest.worker-*.json')
    manifest = json.loads(path.read_text())
    assert manifest['images'] == {'written': 1, 'skipped': 2, 'failed': 0}
    assert manifest['finished'] is not None
    with pytest.raises(ValueError, match='were made with another score_thr'):
        predictor(tmp_path / 'out', OUTPUTS.changed(score_thr=0.7), skip_existing=True)
    in_memory = {'bytes': [(tmp_path / 'in' / '0.png').read_bytes()], 'name': ['0']}
    with pytest.raises(ValueError, match='images in memory cannot be told apart'):
        predictor(tmp_path / 'out', skip_existing=True)(in_memory)


def test_the_command_finishes_what_workers_wrote(predictor, predict_tool, weights, tmp_path):
    """It makes the page, and finds that nothing is missing."""
    folder, outputs = save_scenes(tmp_path / 'in', 3), OutputOptions(sheet=True)
    (batch,) = batches(list_rows(folder, outputs), 3)
    predictor(tmp_path / 'out', outputs)(batch)
    options = ('--model', MODEL, '--weights', weights, '--device', 'cpu', '--contact-sheet')
    assert predict_tool(folder, '--out', tmp_path / 'out', *options, '--skip-existing') == 0
    manifest = json.loads((tmp_path / 'out' / 'manifest.json').read_text())
    assert manifest['images'] == {'written': 0, 'skipped': 3, 'failed': 0}
    assert '3 images' in (tmp_path / 'out' / 'index.html').read_text()


@pytest.mark.parametrize('column', ['path', 'bytes', 'image'])
def test_rows_without_files(predictor, inferencer, tmp_path, column):
    folder = save_scenes(tmp_path / 'in', 2)
    Image.fromarray(scene(2)).save(folder / '2.png')
    paths = [folder / f'{k}.png' for k in range(3)]
    values = {
        'path': [*map(str, paths[:2]), str(folder / 'lost.png'), str(paths[2])],
        'bytes': [*(path.read_bytes() for path in paths[:2]), b'no image', paths[2].read_bytes()],
        'image': [scene(0), scene(1), None, scene(2)],
    }[column]
    batch = {column: values, 'key': [3, 1, 4, 1]}
    outputs = OutputOptions(score_thr=0.6, order='area')
    rows = predictor(outputs=outputs)(batch)
    assert rows['key'] == [3, 1, 4, 1]
    assert (column in rows) == (column == 'path')
    assert [bool(error) for error in rows['error']] == [False, False, True, False]
    assert rows['entity_map'][2].shape == (0, 0)
    for k, path in zip((0, 1, 3), paths):
        expected = inferencer.predict(path).select(0.6).ordered('area')
        assert len(expected) > 1
        assert np.array_equal(rows['entity_map'][k], expected.entity_map)
        assert np.array_equal(rows['scores'][k], expected.scores)
        assert np.array_equal(rows['boxes_xyxy'][k], expected.boxes_xyxy_px)
        assert rows['ids'][k].tolist() == list(range(1, len(expected) + 1))


def test_an_empty_batch_has_all_columns(predictor, tmp_path):
    empty = {'path': np.empty(0, object), 'name': np.empty(0, object)}
    assert set(predictor()(empty)) >= {'path', 'entity_map', 'scores', 'error'}
    assert len(predictor(tmp_path / 'out')(empty)['status']) == 0


def test_engines_pickle_what_they_build_it_with():
    for value in (EntityPredictor, OUTPUTS, PRESETS['corrclip'].outputs):
        assert pickle.loads(pickle.dumps(value)) == value


def test_names_that_lead_out_of_the_folder_fail_by_themselves(predictor, tmp_path):
    data = (save_scenes(tmp_path / 'in', 1) / '0.png').read_bytes()
    names = ['/tmp/0', '../0', '', 'a/0']
    done = predictor(tmp_path / 'out')({'bytes': [data] * 4, 'name': names})
    assert done['status'].tolist() == ['failed', 'failed', 'failed', 'written']
    assert "'../0' is no name" in done['error'][1]
    assert (tmp_path / 'out' / 'idmap' / 'a' / '0.png').is_file()


def test_mistakes_say_what_to_do(predictor, tmp_path):
    folder = save_scenes(tmp_path / 'in', 1)
    path, data = str(folder / '0.png'), (folder / '0.png').read_bytes()
    with pytest.raises(ValueError, match="out is 'maps', which each worker would take"):
        predictor('maps')
    with pytest.raises(ValueError, match=r'0\.png is a file; out names a folder'):
        predictor(path)
    with pytest.raises(ValueError, match='skip_existing keeps files, and there is no out'):
        predictor(skip_existing=True)
    write = predictor(tmp_path / 'out')
    for batch, message in (
        ([path], 'a batch is a dict of columns, and not list'),
        ({'item': [path]}, 'the rows have item; one of image, bytes, path is needed'),
        ({'path': [path]}, 'the rows have no column name'),
        ({'path': [path] * 2, 'name': ['0', '0']}, 'would both be written as idmap/0.png'),
        ({'path': [path], 'name': ['0'], 'error': ['']}, 'have a column error'),
    ):
        with pytest.raises(ValueError, match=message):
            write(batch)
    by_sequence = predictor(tmp_path / 'out', PRESETS['maskclustering'].outputs)
    with pytest.raises(ValueError, match=r'has \{frame\}, \{sequence_folder\}, which column bytes'):
        by_sequence({'bytes': [data], 'name': ['0']})


def test_what_is_no_row_is_refused_before_the_work(tmp_path):
    write_video(tmp_path / 'in' / 'walk.avi')
    with pytest.raises(ValueError, match='has many frames, and a row is one image'):
        list_rows(tmp_path / 'in')
    with pytest.raises(ValueError, match='an image in memory has no path'):
        list_rows([scene(0)])
    for folder in 'ab':
        save_scenes(tmp_path / folder, 1)
    with pytest.raises(ValueError, match='would both be written'):
        list_rows([tmp_path / 'a', tmp_path / 'b'])
    rows = list_rows([tmp_path / 'a', tmp_path / 'b'], listing=ListOptions(root=tmp_path))
    assert [row['name'] for row in rows] == ['a/0', 'b/0']
