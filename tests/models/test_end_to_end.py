"""Pictures of extreme sizes, from the file to the entity map."""

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.utils import register_all_modules
from mmengine.dataset import pseudo_collate
from PIL import Image

from tests.models.parity import build

SIZES = [(1, 1), (200, 4000), (4000, 200), (97, 131)]


@pytest.mark.parametrize(('model', 'views'), [('cropformer', 5), ('mask2former', 1)])
def test_any_image_becomes_a_map_of_its_size(model, views, tmp_path):
    """One batch of all sizes; no ground truth is needed to predict."""
    network = build(f'_base_/models/{model}_swin-nano.py').eval()
    register_all_modules(init_default_scope=True)
    crops = [{'type': 'mmentity.CropViews'}] if views == 5 else []
    pipeline = Compose(
        [
            {'type': 'mmentity.LoadEntityImage'},
            *crops,
            {'type': 'mmentity.ResizeViews', 'short_side': 64, 'long_side': 128},
            {'type': 'mmentity.PackEntityInputs'},
        ]
    )
    rng = np.random.default_rng(0)
    packed = []
    for number, (height, width) in enumerate(SIZES):
        path = tmp_path / f'{number}.png'
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(path)
        packed.append(pipeline({'img_path': str(path), 'img_id': number}))
        assert packed[-1]['inputs'].shape[0] == views
    with torch.no_grad():
        samples = network.test_step(pseudo_collate(packed))
    for sample, size in zip(samples, SIZES):
        assert sample.pred_entity_map.ids.shape == (1, *size)
        boxes = sample.pred_instances.bboxes
        assert (boxes[:, 2] <= size[1]).all()
        assert (boxes[:, 3] <= size[0]).all()
