"""Test-time augmentation: exact for mirror images, averaged in probability."""

import re

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import Compose, pseudo_collate

from mmentity.datasets.geometry import corner_boxes
from mmentity.models import EntityFusionHead, EntityTTAModel
from mmentity.models.fusion.geometry import ViewGeometry
from mmentity.models.test_time_aug import AugmentedPrediction, merge_copies
from mmentity.utils.shipped_configs import get_config
from tests.conftest import ROOT
from tests.models.parity import build

HEIGHT, WIDTH, CPU = 64, 96, torch.device('cpu')
BOXES = [[0, 0, WIDTH, HEIGHT], *corner_boxes(HEIGHT, WIDTH, 0.7).tolist()]
# view that a view is the mirror image of: top left and right, bottom left and right
MIRRORED = [0, 2, 1, 4, 3]


def geometry(scale=1, padding=4):
    """Five views of an image, each resized to a multiple of 32 x 64 px with some padding."""
    height, width = 32 * scale, 64 * scale
    shapes = [[height, width - padding]] * 5
    return ViewGeometry(
        (height // 4, width // 4), BOXES, shapes, (height, width), (HEIGHT, WIDTH), CPU
    )


def logits(seed, num_queries=6, scale=1):
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn((num_queries, 5, 8 * scale, 16 * scale), generator=generator)


def test_a_mirrored_geometry_takes_columns_backwards():
    masks, views = logits(0), geometry()
    box = (0, 0, WIDTH, HEIGHT)
    straight = views.probs(masks, box)
    mirrored = views.mirror().probs(masks.flip(-1), box)
    assert torch.allclose(mirrored, straight.flip(-1), atol=1e-6)
    assert torch.allclose(views.mirror().mirror().probs(masks, box), straight, atol=1e-6)


def test_copies_of_other_scales_are_averaged_in_probability():
    sizes, box = (1, 2), (0, 0, WIDTH, HEIGHT)
    parts = [(logits(scale, scale=scale), geometry(scale)) for scale in sizes]
    expected = torch.stack([views.probs(masks, box) for masks, views in parts]).mean(dim=0)
    joined = parts[0][1].join([parts[1][1]])
    small = torch.nn.functional.pad(parts[0][0], (0, 16, 0, 8))
    masks = torch.cat([small, parts[1][0]], dim=1)
    assert torch.allclose(joined.probs(masks, box), expected, atol=1e-6)


def test_a_symmetric_image_gives_the_same_as_without():
    """A model that sees a mirror image as it is finds each entity and its mirror image."""
    views = geometry(padding=0)
    half = logits(3)
    masks = torch.cat([half, half[:, MIRRORED].flip(-1)])
    probs = torch.rand(6, 2).repeat(2, 1).softmax(dim=-1)
    order = torch.randperm(12)
    copies = [
        AugmentedPrediction(DetDataSample(), probs, masks, views),
        AugmentedPrediction(DetDataSample(), probs[order], masks[order].flip(-1), views.mirror()),
    ]
    head = EntityFusionHead()
    plain = head.fuse(probs, masks, views)
    both = head.fuse(*merge_copies(copies)[1:])
    same = plain['pred_entity_map'].ids == both['pred_entity_map'].ids
    assert same.float().mean() > 0.999
    assert torch.allclose(plain['pred_instances'].scores, both['pred_instances'].scores, atol=1e-4)


@pytest.mark.parametrize('name', ['cropformer_swin-nano_demo', 'mask2former_swin-nano_demo'])
def test_the_mirror_image_gives_the_mirrored_map(name, demo_root):
    torch.manual_seed(0)
    detector = build(f'demo/{name}.py').eval()
    model = EntityTTAModel(detector).eval()
    pipeline = get_config(name).tta_pipeline
    image = demo_root / 'images'
    image = next(path for path in sorted(image.rglob('*.jpg')))
    results = Compose(pipeline[:1])({'img_path': str(image), 'img_id': 1, 'instances': []})
    found = []
    for flip in (False, True):
        img = np.ascontiguousarray(results['img'][:, ::-1]) if flip else results['img']
        data = pseudo_collate([Compose(pipeline[1:])({**results, 'img': img})])
        assert len(data['inputs']) == 2
        with torch.no_grad():
            (sample,) = model.test_step(data)
        found.append(sample.pred_entity_map.ids[0])
    assert found[0].max() > 0
    assert (found[0] == found[1].flip(-1)).float().mean() > 0.999


def test_documented_scales(demo_root):
    """The pipeline of docs/configs.md: two scales, each mirrored and not."""
    page = (ROOT / 'docs/configs.md').read_text()
    code = re.search(r'```python\n(tta_pipeline = .*?)```', page, re.DOTALL).group(1)
    scope: dict = {}
    exec(code, scope)
    pipeline = scope['tta_pipeline']
    for step in pipeline[1]['transforms'][2]:
        step.update(short_side=step['short_side'] * 64 // 800, long_side=160)
    torch.manual_seed(0)
    model = EntityTTAModel(build('demo/cropformer_swin-nano_demo.py')).eval()
    image = next(path for path in sorted((demo_root / 'images').rglob('*.jpg')))
    results = {'img_path': str(image), 'img_id': 1, 'instances': []}
    data = pseudo_collate([Compose(pipeline)(results)])
    assert len(data['inputs']) == 4
    with torch.no_grad():
        (sample,) = model.test_step(data)
    assert sample.pred_entity_map.ids.shape == (1, 96, 128)
