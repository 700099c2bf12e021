"""Which way an image is fused, in which arithmetic, and what is kept between images."""

import pytest
import torch

from mmentity.models import EntityFusionHead
from mmentity.models.fusion import ways
from mmentity.models.fusion.blocks import first_of_greatest, grid_of
from mmentity.models.fusion.fusion_head import geometry_of
from mmentity.models.fusion.geometry import KEPT, ViewGeometry
from mmentity.models.fusion.ways import in_float32, is_dense
from tests.models.fusion.test_class_aware import sample_of
from tests.models.fusion.test_entities import layout


def geometry(height, width, device='cpu'):
    boxes, shapes, padded = layout(height, width)
    low = [side // 4 for side in padded]
    return ViewGeometry(low, boxes, shapes, padded, (height, width), torch.device(device))


def test_a_cpu_fuses_small_images_at_once():
    assert is_dense('auto', 30, geometry(288, 384), None)
    assert not is_dense('auto', 100, geometry(288, 384), None)
    assert not is_dense('auto', 30, geometry(288, 384), 30 * 288 * 384 - 1), 'the budget'
    assert is_dense('dense', 100, geometry(288, 384), 1)
    assert not is_dense('blocks', 1, geometry(8, 8), None)


def test_a_gpu_fuses_at_once_what_fits_into_a_quarter_of_its_free_memory(monkeypatch):
    place = geometry(64, 96)
    place.device = torch.device('cuda', 0)
    for free, expected in ((4 * 4 * 10 * 64 * 96, True), (4 * 4 * 10 * 64 * 96 - 1, False)):
        monkeypatch.setattr(ways, 'free_memory', lambda device, free=free: free)
        assert is_dense('auto', 10, place, None) is expected
    monkeypatch.setattr(ways, 'free_memory', lambda device: 1 << 40)
    assert not is_dense('auto', 10, place, 100), 'test_cfg.max_memory_mb'


@pytest.mark.parametrize('precision', ['highest', 'high', 'medium'])
def test_fusion_leaves_autocast_and_coarse_products(precision):
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        with torch.autocast('cpu', dtype=torch.bfloat16), in_float32(torch.device('cpu')):
            assert torch.get_float32_matmul_precision() == 'highest'
            assert not torch.backends.cuda.matmul.allow_tf32
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(
    torch.__version__ < (2, 9),
    reason='the precision of each backend can be set from PyTorch 2.9 on',
)
def test_fusion_leaves_the_precision_of_each_backend():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = 'tf32'
        with in_float32(torch.device('cpu')):
            assert matmul.fp32_precision == 'ieee'
        assert matmul.fp32_precision == 'tf32'
    finally:
        matmul.fp32_precision = before


def test_tables_of_images_of_one_size_are_made_once():
    sample, low = sample_of((40, 60))
    logits = torch.zeros(1, 5, *low)
    first = geometry_of(logits, sample.metainfo)
    assert geometry_of(logits[:, :], dict(sample.metainfo)) is first
    assert grid_of(first, 16) is grid_of(first, 16)
    for width in range(61, 61 + KEPT):
        other, low = sample_of((40, width))
        geometry_of(torch.zeros(1, 5, *low), other.metainfo)
    logits = torch.zeros(1, 5, *sample_of((40, 60))[1])
    assert geometry_of(logits, sample.metainfo) is not first, 'no more than a few are kept'


@pytest.mark.parametrize('way', ['blocks', 'dense'])
@pytest.mark.parametrize('task', ['entity', 'instance', 'semantic', 'panoptic'])
def test_results_are_made_in_every_mode(task, way, device):
    """What inference mode keeps serves others, and logits may have a gradient."""
    head = EntityFusionHead(3, 2, test_cfg={f'{task}_on': True, 'fusion': way})
    sample, low = sample_of((41, 59))
    cls_logits = torch.randn(1, 6, 6, device=device)
    mask_logits = torch.randn(1, 6, 5, *low, device=device)
    with torch.inference_mode():
        head.predict(cls_logits.clone(), mask_logits.clone(), [sample])
    head.predict(cls_logits, mask_logits.requires_grad_(), [sample])


@pytest.mark.parametrize('dim', [0, 1, -1])
def test_first_of_greatest_is_argmax(dim, device):
    torch.manual_seed(0)
    values = torch.randint(0, 3, (5, 6, 7)).float()
    expected = values.argmax(dim=dim)
    assert torch.equal(first_of_greatest(values.to(device), dim).cpu(), expected)
    values[2, 3, 4] = torch.nan
    assert first_of_greatest(values.to(device), dim).max() < values.shape[dim]
