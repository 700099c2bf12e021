import json

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from mmentity.structures import EntityMap
from mmentity.structures.palette import entity_colours
from mmentity.visualization import EntityVisualizer
from mmentity.visualization.curves import draw_branches, draw_curves
from mmentity.visualization.drawing import (
    draw_entities,
    matched_colours,
    painted_colours,
    side_by_side,
)


def test_colours_are_stable_and_neighbours_differ():
    colours = entity_colours(300).astype(int)
    assert colours[0].tolist() == [0, 0, 0]
    assert np.array_equal(colours[:11], entity_colours(10))
    for distance in (1, 2, 3):
        assert np.abs(colours[1:-distance] - colours[1 + distance :]).max(1).min() > 30


def halves():
    ids = np.zeros((40, 60), int)
    ids[:, 10:35] = 1
    ids[:, 35:] = 2
    return EntityMap(ids)


def test_entities_are_tinted_and_outlined():
    img = np.full((40, 60, 3), 100, np.uint8)
    drawn = draw_entities(img, halves(), alpha=0.5)
    colours = entity_colours(2).astype(int)
    assert (drawn[:, :10] == 100).all()
    assert np.abs(drawn[5, 20].astype(int) - (100 + colours[1]) // 2).max() <= 1
    assert np.abs(drawn[5, 50].astype(int) - (100 + colours[2]) // 2).max() <= 1
    assert (drawn[:, 10] == 255).all()
    assert (drawn[:, 35] == 255).all()
    plain = draw_entities(img, halves(), contours=False)
    assert not (plain == 255).all(-1).any()
    assert np.array_equal(img, np.full((40, 60, 3), 100))


def test_texts_stand_inside_their_entity():
    img = np.full((40, 60, 3), 100, np.uint8)
    plain = draw_entities(img, halves(), contours=False)
    changed = (draw_entities(img, halves(), contours=False, texts=['8', '9']) != plain).any(-1)
    assert changed[:, 10:35].any()
    assert changed[:, 36:].any()
    assert not changed[:, :10].any()


@pytest.mark.parametrize('alpha', [0.0, 0.55])
def test_swatches_of_the_legend_are_as_painted(alpha):
    rng = np.random.default_rng(0)
    ids = np.arange(1, 41).reshape(5, 8).repeat(12, 0).repeat(12, 1)
    img = rng.integers(0, 256, (5, 8, 3), np.uint8).repeat(12, 0).repeat(12, 1)
    img = (img // 2 + rng.integers(0, 128, img.shape)).astype(np.uint8)
    entities = EntityMap(ids)
    drawn = draw_entities(img, entities, alpha, contours=False)
    swatches = painted_colours(img, entities, alpha).astype(float)
    means = np.array([drawn[ids == k].mean(0) for k in range(1, 41)])
    assert np.abs(means - swatches).max() <= 1.5
    distances = np.linalg.norm(means[:, None] - swatches, axis=-1)
    assert distances.argmin(1).tolist() == list(range(40))


def test_matched_entities_have_one_colour():
    ids = np.zeros((20, 60), int)
    ids[:, :20], ids[:, 20:40], ids[:, 40:] = 1, 2, 3
    reference = EntityMap(ids)
    # the first matches entity 3, the second nothing, the third entity 1
    found = np.zeros((20, 60), int)
    found[:, 42:], found[:, 30:42], found[:, 1:18] = 1, 2, 3
    colours = matched_colours(EntityMap(found), reference)
    expected = entity_colours(4)
    assert np.array_equal(colours, expected[[0, 3, 4, 1]])
    nothing = EntityMap(np.zeros((20, 60), int))
    assert len(matched_colours(nothing, reference)) == 1
    assert np.array_equal(matched_colours(reference, nothing), entity_colours(3))


def test_side_by_side():
    panels = [np.zeros((40, 60, 3), np.uint8), np.full((40, 60, 3), 7, np.uint8)]
    sheet = side_by_side(panels, ['a', 'b'])
    assert sheet.shape == (56, 120, 3)
    assert (sheet[16:, 60:] == 7).all()


def sample(with_gt):
    ids = torch.from_numpy(halves().ids)
    sample = DetDataSample(
        pred_entity_map=PixelData(ids=ids),
        pred_instances=InstanceData(scores=torch.tensor([0.9, 0.2])),
    )
    if with_gt:
        sample.gt_entity_map = PixelData(ids=ids)
        sample.gt_instances = InstanceData(areas=torch.ones(2))
    return sample


@pytest.mark.parametrize(('with_gt', 'panels'), [(True, 3), (False, 2)])
@pytest.mark.parametrize('texts', [None, 'id', 'score'])
def test_visualizer_writes_the_panels(tmp_path, with_gt, panels, texts):
    visualizer = EntityVisualizer(texts=texts)
    img = np.full((40, 60, 3), 100, np.uint8)
    out = tmp_path / 'a.png'
    visualizer.add_datasample('a', img, sample(with_gt), pred_score_thr=0.5, out_file=str(out))
    drawn = np.asarray(Image.open(out))
    assert drawn.shape == (56, 60 * panels, 3)
    prediction = drawn[16:, -60:]
    assert (prediction[:, 40:] == 100).all()  # entity 2 is below the threshold
    assert not (prediction[:, 12:30] == 100).all()


def test_visualizer_gives_matched_entities_one_colour(tmp_path):
    both = sample(with_gt=True)
    # the prediction has the same entities in the other order
    both.pred_entity_map.ids = 3 - both.pred_entity_map.ids
    both.pred_entity_map.ids[both.pred_entity_map.ids == 3] = 0
    both.pred_instances.scores = torch.tensor([0.9, 0.8])
    out = tmp_path / 'a.png'
    img = np.full((40, 60, 3), 100, np.uint8)
    EntityVisualizer().add_datasample('a', img, both, out_file=str(out))
    drawn = np.asarray(Image.open(out))
    ground_truth, prediction = drawn[16:, 60:120], drawn[16:, 120:]
    assert np.array_equal(ground_truth, prediction)
    assert (ground_truth[20, 20] != ground_truth[20, 50]).any()


def test_visualizer_refuses_other_texts():
    with pytest.raises(ValueError, match="texts is 'name'; it must be"):
        EntityVisualizer(texts='name')


def test_curves(tmp_path):
    assert draw_curves(tmp_path, 'entity/APe') is None
    folder = tmp_path / '20240101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    rows = [{'loss': 9 - i, 'step': i, 'lr': 1} for i in range(5)]
    rows.append({'entity/APe': 40.0, 'step': 4})
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)))
    path = draw_curves(tmp_path, 'entity/APe')
    with Image.open(path) as curves:
        assert np.asarray(curves.convert('RGB')).std() > 5
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ['curves.png']


def test_curves_of_branches_go_on_where_the_first_training_ended(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        'matplotlib.axes.Axes.plot',
        lambda axes, x, y, _plot=Axes.plot, **style: (
            drawn.setdefault(axes, []).append((x, y)) or _plot(axes, x, y, **style)
        ),
    )
    for name, steps in (('first', (2, 4)), ('second', (1, 3))):
        folder = tmp_path / name / '20240101_000000' / 'vis_data'
        folder.mkdir(parents=True)
        rows = [row for k in steps for row in ({'loss': 9 - k, 'step': k}, {'APe': k, 'step': k})]
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)))
    runs = [(tmp_path / 'first', 'first', False), (tmp_path / 'second', 'second', True)]
    path = draw_branches(tmp_path / 'curves.png', runs, 'APe')
    with Image.open(path) as curves:
        assert np.asarray(curves.convert('RGB')).std() > 5
    losses, metrics = drawn.values()
    assert losses == [([2, 4], [7, 5]), ([5, 7], [8, 6])]
    # the branch begins with the metric of the weights that it begins with
    assert metrics == [([2, 4], [2, 4]), ([4, 5, 7], [4, 1, 3])]
