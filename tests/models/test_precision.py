"""Half precision in testing: what it changes, what it leaves, and where it is refused."""

import numpy as np
import pytest
import torch

from mmentity.models import precision as module
from mmentity.models.layers.deformable_attention import DeformableAttention
from mmentity.models.layers.pixel_decoder import EntityPixelDecoder
from mmentity.models.precision import autocast_to, lack_of, usable_precision
from tests.models.parity import build, build_with_weights, tiny_options
from tests.models.test_parity import TINY, as_sample

CPU = torch.device('cpu')
HALF = ('bf16', 'fp16')


@pytest.fixture
def any_precision(monkeypatch):
    """Run in every precision, fast or not."""
    monkeypatch.setattr(module, 'lack_of', lambda *_: None)


@pytest.fixture
def warnings(monkeypatch):
    """What is warned of, each once."""
    heard = []
    logger = type('Logger', (), {'warning': staticmethod(heard.append)})
    monkeypatch.setattr(module.MMLogger, 'get_current_instance', lambda: logger)
    module._warn_once.cache_clear()
    yield heard
    module._warn_once.cache_clear()


def test_a_cpu_without_bf16_predicts_in_fp32_and_says_so_once(monkeypatch, warnings):
    monkeypatch.setattr(module, 'has_bf16_instructions', lambda: False)
    for _ in range(2):
        assert usable_precision('bf16', CPU) == usable_precision('fp16', 'cpu') == 'fp32'
    assert warnings == [
        'bf16 is slower than fp32 here, so fp32 is used: this CPU has neither AVX512-BF16 nor '
        'AMX-BF16',
        'fp16 is slower than fp32 here, so fp32 is used: fp16 needs a GPU; choose bf16 on CPUs '
        'with AVX512-BF16 or AMX',
    ]
    with autocast_to('bf16', CPU):
        assert not torch.is_autocast_cpu_enabled()


def test_a_cpu_with_bf16_predicts_in_it(monkeypatch, warnings):
    monkeypatch.setattr(module, 'has_bf16_instructions', lambda: True)
    assert usable_precision('bf16', CPU) == 'bf16'
    assert usable_precision(None, CPU) == usable_precision('fp32', CPU) == 'fp32'
    assert warnings == []


@pytest.mark.parametrize(
    ('cpuinfo', 'expected'),
    [
        ('processor : 0\nflags : fpu avx2 avx512_bf16 fma\n', True),
        ('processor : 0\nflags : fpu amx_tile amx_bf16\n', True),
        ('processor : 0\nFeatures : fp asimd bf16\n', True),
        ('processor : 0\nflags : fpu avx2 avx512f avx512bw\n', False),
        ('processor : 0\n', False),
    ],
)
def test_instructions_are_read_of_the_kernel(cpuinfo, expected, monkeypatch, tmp_path):
    (tmp_path / 'cpuinfo').write_text(cpuinfo)
    monkeypatch.setattr(module, 'CPUINFO', tmp_path / 'cpuinfo')
    assert module.has_bf16_instructions.__wrapped__() is expected


@pytest.mark.parametrize(
    ('capability', 'precision', 'lack'),
    [
        ((8, 6), 'bf16', None),
        ((7, 5), 'fp16', None),
        ((7, 5), 'bf16', 'this GPU has compute capability 7.5, and bf16 needs 8.0; choose fp16'),
    ],
)
def test_a_gpu_before_ampere_has_fp16_only(capability, precision, lack, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: capability)
    assert lack_of(precision, torch.device('cuda:0')) == lack
    assert 'not been tried on mps' in lack_of(precision, torch.device('mps'))


def test_an_unknown_precision_is_refused():
    message = "precision .* is 'half'; it must be one of fp32, bf16, fp16"
    with pytest.raises(ValueError, match=message):
        usable_precision('half', CPU)
    with pytest.raises(ValueError, match=message):
        build(TINY, {**tiny_options(), 'model.test_cfg.precision': 'half'})


@pytest.fixture(scope='module')
def tiny(reference):
    """Model of the official weights, its input, and logits and map in fp32."""
    info, arrays = reference.load('cropformer_swin_tinycfg')
    model = build_with_weights(reference, info, TINY, tiny_options())
    views = [torch.from_numpy(arrays['image_full']), *torch.from_numpy(arrays['image_crop'])]
    inputs = [torch.stack(views).flip(1)]
    data = model.data_preprocessor({'inputs': inputs, 'data_samples': [as_sample(info, arrays)]})
    return model, data, predict(model, data, None)


@torch.no_grad()
def predict(model, data, precision):
    model.test_cfg['precision'] = precision
    try:
        logits = model.predict_masks(data['inputs'], data['data_samples'])
        (sample,) = model.predict(data['inputs'], data['data_samples'])
    finally:
        model.test_cfg['precision'] = None
    return (
        logits,
        queries_of(sample.pred_instances, sample.pred_entity_map),
        (sample.pred_instances.scores),
    )


def queries_of(instances, entity_map):
    """Number of the query that owns each pixel, -1 where none does."""
    return np.append(-1, instances.query_inds.numpy())[entity_map.ids[0].numpy()]


@pytest.mark.usefixtures('any_precision')
@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_half_precision_gives_the_map_of_fp32(tiny, precision):
    if precision == 'fp16' and torch.__version__ < (2, 3):
        pytest.skip('this PyTorch has no autocast to fp16 on CPUs')
    model, data, (logits, queries, _) = tiny
    half, _, _ = predict(model, data, precision)
    # it really was another precision
    assert not torch.equal(half.cls_logits.float(), logits.cls_logits)
    np.testing.assert_allclose(
        *(x.cls_logits.float().softmax(-1) for x in (half, logits)), atol=0.05
    )
    # random weights: scores are nearly alike, so their order, which owns pixels, is that of fp32
    (result,) = model.panoptic_fusion_head.predict(
        logits.cls_logits, half.mask_logits, data['data_samples']
    )
    half_queries = queries_of(result['pred_instances'], result['pred_entity_map'])
    assert (half_queries == queries).mean() >= 0.95


def test_fp32_is_fp32_under_autocast_too(tiny):
    model, data, (logits, queries, scores) = tiny
    with torch.autocast('cpu', dtype=torch.bfloat16):
        other_logits, other_queries, other_scores = predict(model, data, 'fp32')
    assert torch.equal(other_logits.mask_logits, logits.mask_logits)
    assert np.array_equal(other_queries, queries)
    assert torch.equal(other_scores, scores)


@pytest.mark.usefixtures('any_precision')
@pytest.mark.parametrize('way', ['embedding_bag', 'grid_sample'])
def test_positions_stay_in_float32_and_the_rest_does_not(tiny, way, monkeypatch):
    """Points of float32, and products of half precision around them."""
    path = 'mmentity.models.layers.{}.attention_way'
    for name in ('deformable_attention', 'pixel_decoder'):
        monkeypatch.setattr(path.format(name), lambda device: way)
    model, data, _ = tiny
    samples, project, seen = DeformableAttention.samples, DeformableAttention.project, set()

    def watched_samples(self, query, *more):
        found = samples(self, query, *more)
        with torch.autocast('cpu', enabled=False):
            expected = samples(self, query.float(), *more)
        assert torch.equal(found.x, expected.x)
        assert torch.equal(found.y, expected.y)
        seen.update((found.x.dtype, found.attention.dtype))
        return found

    def watched_project(self, value, mask):
        values = project(self, value, mask)
        seen.add(values.dtype)
        return values

    monkeypatch.setattr(DeformableAttention, 'samples', watched_samples)
    monkeypatch.setattr(DeformableAttention, 'project', watched_project)
    predict(model, data, 'bf16')
    assert seen == {torch.float32, torch.bfloat16}


def test_the_pixel_decoder_is_trained_in_float32(tiny):
    model, data, _ = tiny
    seen = []
    hook = model.panoptic_head.pixel_decoder.register_forward_hook(
        lambda module, args, output: seen.append(output.mask_features.dtype)
    )
    assert isinstance(model.panoptic_head.pixel_decoder, EntityPixelDecoder)
    try:
        with torch.autocast('cpu', dtype=torch.bfloat16):
            model.panoptic_head._decode_pixels(model.extract_feat(data['inputs']))
            with torch.no_grad():
                model.panoptic_head._decode_pixels(model.extract_feat(data['inputs']))
    finally:
        hook.remove()
    assert seen == [torch.float32] + [torch.bfloat16] * 5
