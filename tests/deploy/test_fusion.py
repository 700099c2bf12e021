"""Views and fusion in NumPy give what the pipeline and the fusion head give."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from mmentity.datasets.transforms import CropViews, PackEntityInputs, ResizeViews
from mmentity.deploy.fusion import fuse_entities
from mmentity.deploy.graph_info import GraphInfo
from mmentity.deploy.views import GraphInput, make_views, view_size
from mmentity.models import EntityFusionHead, MultiViewDataPreprocessor
from tests.models.test_parity import CASES, uncertain_pixels


def make_info(**changes):
    values = {
        'config': 'a', 'config_sha256': '0', 'model': 'CropFormer', 'classes': ('entity',),
        'num_views': 5, 'crop_ratio': 0.7, 'short_side': 96, 'long_side': 144, 'height': 96,
        'width': 160, 'mean': (123.675, 116.28, 103.53), 'std': (58.395, 57.12, 57.375),
        'max_per_image': None, 'mask_thr': 0.5, 'sigmoid_twice': True, 'half': False,
        'task': 'entity', 'made_by': '0',
    }  # fmt: skip
    return GraphInfo(**{**values, **changes})


@pytest.mark.parametrize('crops', [True, False])
def test_views_are_those_of_the_pipeline_bit_for_bit(crops):
    img = np.random.default_rng(0).integers(0, 256, (133, 217, 3), np.uint8)
    results = {'img': img, 'img_path': None, 'img_id': 0, 'ori_shape': img.shape[:2]}
    for step in [CropViews()] * crops + [ResizeViews(96, 144), PackEntityInputs()]:
        results = step(results)
    batch = {'inputs': [results['inputs']], 'data_samples': [results['data_samples']]}
    expected = MultiViewDataPreprocessor()(batch)
    info = make_info(crop_ratio=0.7 if crops else None, height=96, width=160)
    given = make_views(img, info)
    meta = expected['data_samples'][0].metainfo
    assert meta['batch_input_shape'] == info.size
    assert np.array_equal(given.views, expected['inputs'].numpy())
    assert [list(box) for box in given.view_boxes] == meta['view_boxes']
    assert [list(shape) for shape in given.view_shapes] == meta['view_shapes']


@pytest.mark.parametrize(
    ('image', 'expected'),
    [
        ((300, 400), (96, 128)),  # fits, padded at the right
        ((100, 400), (36, 144)),  # the longest side of the config
        ((400, 300), (96, 72)),  # portrait: the height of the graph is the limit
        ((400, 1), (96, 1)),
    ],
)
def test_images_of_other_shapes_are_fitted_into_the_graph(image, expected):
    assert view_size(*image, make_info()) == expected


def random_logits(seed, queries=20, views=5, classes=1):
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 4, (queries, views, 6, 10))
    smooth = torch.from_numpy(coarse).float()
    masks = torch.nn.functional.interpolate(smooth, (24, 40), mode='bilinear').numpy()
    return rng.normal(0, 2, (queries, classes + 1)).astype(np.float32), masks


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'max_per_image': 7},
        {'mask_thr': 0.7},
        {'sigmoid_twice': False},
        {'classes': ('a', 'b', 'c')},
        {'crop_ratio': None, 'num_views': 1},
    ],
)
def test_fusion_is_that_of_the_head(changes):
    info = make_info(**changes)
    img = np.zeros((133, 217, 3), np.uint8)
    given = make_views(img, info)
    cls_logits, masks = random_logits(3, views=info.num_views, classes=len(info.classes))
    ours = fuse_entities(cls_logits, masks, given, info)
    head = EntityFusionHead(
        num_things_classes=len(info.classes),
        test_cfg={
            'entity_on': True,
            'max_per_image': info.max_per_image,
            'mask_thr': info.mask_thr,
            'mask_score': 'official' if info.sigmoid_twice else 'probability',
        },
    )
    sample = DetDataSample(
        metainfo={
            'view_boxes': given.view_boxes,
            'view_shapes': given.view_shapes,
            'batch_input_shape': info.size,
            'ori_shape': given.ori_shape,
        }
    )
    logits = (torch.from_numpy(array)[None] for array in (cls_logits, masks))
    expected = head.predict(*logits, [sample])[0]
    instances = expected['pred_instances']
    assert (ours.ids == expected['pred_entity_map'].ids.numpy()).mean() > 0.9999
    assert len(np.unique(ours.ids)) > 4
    assert np.allclose(ours.scores, instances.scores.numpy(), atol=1e-5)
    assert np.array_equal(ours.labels, instances.labels.numpy())
    assert np.abs(ours.areas - instances.areas.numpy()).max() <= 2
    assert np.abs(ours.boxes_xyxy_px - instances.bboxes.numpy()).max() <= 1
    assert ours.scores.dtype == np.float32
    assert ours.ids.dtype == np.int32


@pytest.mark.parametrize('case', CASES)
def test_fusion_is_that_of_the_official_code(reference, case):
    _, arrays = reference.load('postprocess_cases')
    arrays = {name.split('/')[1]: arrays[name] for name in arrays if name.startswith(f'{case}/')}
    order = arrays['order'].astype(np.int64)
    height, width = (int(v) for v in arrays['original_size'])
    padded = tuple(map(int, arrays['padded_size']))
    info = make_info(height=padded[0], width=padded[1])
    given = GraphInput(
        np.zeros(0),
        ((0, 0, width, height), *(tuple(map(int, box)) for box in arrays['crop_region'])),
        tuple(tuple(map(int, shape)) for shape in arrays['image_sizes']),
        (height, width),
    )
    # the order among equal class scores is not defined: give the official one
    cls_logits, masks = arrays['pred_cls'][order], arrays['pred_masks_low'][order]
    ours = fuse_entities(cls_logits, masks, given, info)
    certain = ~uncertain_pixels(arrays, width)
    pairs = set(zip(ours.ids[0][certain].tolist(), arrays['id_map'][certain].tolist()))
    # a renumbering of the official map, and no more
    assert len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)
    assert all((one == 0) == (other == 0) for one, other in pairs)
    assert np.allclose(np.sort(ours.scores), np.sort(arrays['scores']), atol=1e-4)
