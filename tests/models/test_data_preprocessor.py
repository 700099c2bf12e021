import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData

from mmentity.models import MultiViewDataPreprocessor


def packed(image, shapes):
    """Views filled with ``10 * image + view``."""
    height, width = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    inputs = torch.zeros((len(shapes), 3, height, width), dtype=torch.uint8)
    for view, (h, w) in enumerate(shapes):
        inputs[view, :, :h, :w] = 10 * image + view
    sample = DetDataSample(metainfo={'img_id': image, 'view_shapes': shapes})
    sample.gt_instances = InstanceData(labels=torch.zeros(2, dtype=torch.long))
    sample.gt_view_maps = [
        torch.full((1, *shape), view, dtype=torch.int32) for view, shape in enumerate(shapes)
    ]
    return {'inputs': inputs, 'data_samples': sample}


def test_images_and_views_stay_in_order_through_the_loader(device):
    """Three images of two views: a transposed batch would show."""
    shapes = [(30, 40), (31, 39)]
    preprocessor = MultiViewDataPreprocessor(mean=(0, 0, 0), std=(1, 1, 1)).to(device)
    batch = pseudo_collate([packed(image, shapes) for image in range(3)])
    data = preprocessor(batch, training=True)
    assert data['inputs'].shape == (3, 2, 3, 32, 64)
    for image in range(3):
        for view, (h, w) in enumerate(shapes):
            value = 10 * image + view
            assert (data['inputs'][image, view, :, :h, :w] == value).all()
            assert data['inputs'][image, view].sum() == value * 3 * h * w


def test_padding_is_zero_after_normalisation_and_channels_turn():
    preprocessor = MultiViewDataPreprocessor(mean=(1, 2, 3), std=(1, 1, 2))
    data = preprocessor({k: [v] for k, v in packed(0, [(5, 6), (4, 6)]).items()})
    assert data['inputs'][0, 1, :, 0, 0].tolist() == [0, -1, -1]
    assert (data['inputs'][0, 1, :, 4:] == 0).all()
    assert data['data_samples'][0].batch_input_shape == (32, 32)


def test_targets(device):
    data = MultiViewDataPreprocessor().to(device)(
        {k: [v] for k, v in packed(0, [(5, 6), (4, 6)]).items()}, training=True
    )
    gt = data['data_samples'][0].gt_instances
    assert gt.masks.shape == (2, 2, 32, 32)
    assert gt.masks.device == gt.in_view.device == device
    assert gt.masks.sum((2, 3)).tolist() == [[0, 24], [0, 0]]
    assert gt.in_view.tolist() == [[False, True], [False, False]]
    assert 'gt_view_maps' not in data['data_samples'][0]


def test_exceptions():
    preprocessor = MultiViewDataPreprocessor()
    two, one = packed(0, [(5, 6), (4, 6)]), packed(1, [(5, 6)])
    with pytest.raises(ValueError, match=r'of a batch have \[1, 2\] views; give all'):
        preprocessor(pseudo_collate([two, one]))
    two['data_samples'].set_metainfo({'view_shapes': [(5, 6)]})
    with pytest.raises(ValueError, match=r'have \[2\] views, their samples describe \[1\]'):
        preprocessor(pseudo_collate([two]))
    bare = DetDataSample(metainfo={'img_path': 'a.jpg', 'view_shapes': [(5, 6)]})
    with pytest.raises(ValueError, match='image a.jpg has no targets to train on; its dataset'):
        preprocessor({'inputs': [one['inputs']], 'data_samples': [bare]}, training=True)
