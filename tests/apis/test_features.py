"""Features in results."""

import numpy as np
import pytest

from mmentity.apis import EntityInferencer, EntityPredictor
from mmentity.apis.export import OutputOptions
from mmentity.apis.per_entity import EntityFeatures, EntityNames
from tests.apis.conftest import MODEL, make_result, result_with_features, save_scenes, scene


def test_results_have_them_only_where_asked_for(inferencer, with_features):
    img = scene(0)[..., ::-1].copy()
    plain, result = inferencer.predict(img), with_features.predict(img)
    assert (inferencer.has_features, with_features.has_features) == (False, True)
    assert plain.features is None
    assert np.array_equal(result.entity_map, plain.entity_map)
    assert np.array_equal(result.scores, plain.scores)
    channels = with_features.model.panoptic_head.query_embed.weight.shape[1]
    for table in (result.features.pooled, result.features.query):
        assert (table.dtype, table.shape) == (np.float32, (len(result), channels))
        assert np.isfinite(table).all()
        assert len(np.unique(table, axis=0)) == len(table) > 2
    # a map that is resized has the features of the one that the model made
    small = with_features.predict(img, max_side=32)
    assert (small.height, small.width) == img.shape[:2]
    assert len(small.features.pooled) == len(small)


def test_rows_follow_selections_orders_sizes_and_parts():
    result = result_with_features()
    chosen = result.ordered('area').select(0.5)
    assert chosen.features.pooled[:, 0].tolist() == [1, 2, 0, 3]
    assert chosen.features.query[:, 1].tolist() == [-1.5, -2.5, -0.5, -3.5]
    # the narrow one vanishes
    assert result.resize(2, 10).features.pooled[:, 0].tolist() == [0, 1, 2, 4]
    halves = make_result(
        [[1, 0, 2, 0, 1]],
        [0.9, 0.8],
        features=EntityFeatures(np.float32([[1], [2]]), np.float32([[3], [4]])),
        naming=EntityNames(np.array(['car', 'tree']), np.float32([0.7, 0.6])),
    ).split_components()
    assert halves.features.pooled.tolist() == [[1], [1], [2]]
    assert halves.naming.names.tolist() == ['car', 'car', 'tree']
    assert result.split_components().naming is None


def test_rows_of_other_engines_write_them_too(weights, with_features, tmp_path):
    (path,) = save_scenes(tmp_path / 'in', 1).iterdir()
    outputs = OutputOptions(('features',), score_thr=0.1)
    predictor = EntityPredictor(MODEL, weights, tmp_path / 'out', outputs, 'cpu')
    done = predictor({'path': [str(path)], 'name': ['0']})
    assert done['error'].tolist() == ['']
    (written,) = (tmp_path / 'out').rglob('*.npz')
    expected = with_features.predict(path).select(0.1)
    assert np.array_equal(np.load(written)['pooled'], expected.features.pooled)
    with pytest.raises(ValueError, match='names are to be drawn, but entities get none'):
        EntityPredictor(MODEL, weights, tmp_path, OutputOptions(('overlay',), drawn=('names',)))


def test_backends_without_features_are_refused(with_features):
    with pytest.raises(ValueError, match='^features: net.onnx is an exported network'):
        EntityInferencer('net.onnx', features=True)

    class Plain:
        has_features, pack = False, None

    with pytest.raises(ValueError, match='^features: Plain gives none; leave it out'):
        EntityInferencer(Plain(), features=True)
    assert EntityInferencer(with_features.backend, features=True).has_features
