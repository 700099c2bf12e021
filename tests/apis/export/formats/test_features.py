"""Features in files."""

import io

import numpy as np
import pytest

from mmentity.apis.export import OutputOptions, PredictionRun
from mmentity.apis.export.formats.features import encode_features, encode_parquet
from mmentity.apis.export.numbering import number_entities
from mmentity.apis.per_entity import EntityNames
from tests.apis.conftest import (
    MODEL,
    make_result,
    result_with_features,
    save_scenes,
    stripes,
)


@pytest.mark.parametrize('named', [False, True])
def test_files_are_aligned_with_the_written_ids(named):
    names = EntityNames(np.array(['a', 'ö', 'c', 'd', 'e']), np.float32([0.1, 0.2, 0.3, 0.4, 0.5]))
    result = result_with_features(naming=names if named else None)
    options = OutputOptions(('features',), order='area', reverse=True, ids='rank', min_area=200)
    numbered = number_entities(result, options)
    arrays = np.load(io.BytesIO(encode_features(numbered)))
    id_map = numbered.id_map(np.int32)
    assert arrays['ids'].tolist() == [2, 3, 5]
    for number, pooled, query, area, box in zip(
        *(arrays[key] for key in ('ids', 'pooled', 'query', 'areas', 'boxes_xyxy'))
    ):
        (row,) = np.unique(result.entity_map[id_map == number]) - 1
        assert pooled.tolist() == result.features.pooled[row].tolist()
        assert query.tolist() == result.features.query[row].tolist()
        assert area == (id_map == number).sum()
        assert box[0] == np.flatnonzero((id_map == number).any(axis=0))[0]
    assert ('names' in arrays) == named
    if named:
        assert arrays['names'].tolist() == ['a', 'c', 'ö']
        assert arrays['name_scores'].tolist() == pytest.approx([0.1, 0.3, 0.2])


@pytest.mark.parametrize('kept', [5, 0])
def test_parquet(kept):
    pytest.importorskip('pyarrow', reason='pyarrow is an extra')
    from pyarrow import parquet

    names = EntityNames(np.array(list('abcde')), np.ones(5, np.float32))
    result = result_with_features(name='scans/1', naming=names).take(range(kept))
    numbered = number_entities(result, OutputOptions(('parquet',), score_thr=0.0))
    table = parquet.read_table(io.BytesIO(encode_parquet(numbered)))
    box_columns = ['x0', 'y0', 'x1', 'y1']
    assert table.column_names == [
        'image', 'id', 'score', 'label', *box_columns, 'area', 'pooled', 'query', 'name',
        'name_score',
    ]  # fmt: skip
    rows = table.to_pylist()
    assert [row['id'] for row in rows] == list(range(1, kept + 1))
    assert table.schema.field('pooled').type.list_size == 3
    for row, pooled, query, box in zip(
        rows, result.features.pooled, result.features.query, result.boxes_xyxy_px
    ):
        assert (row['image'], row['pooled'], row['query']) == (
            'scans/1', pooled.tolist(), query.tolist()
        )  # fmt: skip
        assert [row[key] for key in box_columns] == box.tolist()


def test_a_run_writes_what_the_inferencer_gives(predict_tool, weights, with_features, tmp_path):
    images = save_scenes(tmp_path / 'in', 1)
    code = predict_tool(
        images, '--out', tmp_path / 'out', '--model', MODEL, '--weights', weights,
        '--device', 'cpu', '--format', 'idmap,features,cutout', '--score-thr', 0.1,
        '--cutout-background', 'blur', '--cutout-size', 32,
    )  # fmt: skip
    assert code == 0
    expected = with_features.predict(images / '0.png').select(0.1)
    arrays = np.load(tmp_path / 'out/features/0.npz')
    assert arrays['ids'].tolist() == list(range(1, len(expected) + 1))
    assert np.array_equal(arrays['pooled'], expected.features.pooled)
    assert np.array_equal(arrays['query'], expected.features.query)
    assert len(list((tmp_path / 'out/cutout/0').iterdir())) == len(expected) > 1


def test_what_is_missing_is_said_before_the_work(inferencer, with_features, tmp_path, monkeypatch):
    images = save_scenes(tmp_path / 'in', 1)

    def run(formats):
        return PredictionRun(images, tmp_path / 'out', OutputOptions(formats))

    with pytest.raises(ValueError, match=r'EntityInferencer\(..., features=True\)'):
        run(('idmap', 'features'))(inferencer)
    with pytest.raises(ValueError, match='0 has no features; predict it with'):
        encode_features(number_entities(make_result(stripes([4]), [0.9]), OutputOptions()))
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "mmentity\[parquet\]"'):
        run(('parquet',))(with_features)
    assert not (tmp_path / 'out').exists()
