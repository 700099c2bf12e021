import pytest
import torch

from mmentity.checkpoints.key_map import merge_patches_like_unfold
from mmentity.converters import convert_detectron2
from tests.models.parity import build, tiny_options

TINY = '_base_/models/cropformer_swin-t.py'


@pytest.fixture(scope='module')
def official(reference):
    info, _ = reference.load('cropformer_swin_tinycfg')
    return reference.weights(info)


def test_converted_weights_fit_the_model_exactly(official):
    model = build(TINY, tiny_options())
    model.load_state_dict(convert_detectron2(official), strict=True)
    index = model.backbone.stages[0].blocks[0].attn.w_msa.relative_position_index
    fresh = build(TINY, tiny_options()).backbone.stages[0].blocks[0].attn.w_msa
    assert torch.equal(index, fresh.relative_position_index)


def test_the_association_is_optional(official):
    own = {name: value for name, value in official.items() if 'make_3d' not in name}
    converted = convert_detectron2(own)
    assert not any('association' in name for name in converted)
    assert any('association' in name for name in convert_detectron2(official))


@pytest.mark.parametrize(
    'name',
    [
        'backbone.layers.1.blocks.0.mlp.fc1.bias',
        'backbone.layers.0.downsample.norm.weight',
        'sem_seg_head.predictor.query_feat.weight',
        'sem_seg_head.pixel_decoder.adapter_1.norm.bias',
        'sem_seg_head.predictor.make_3d.enc_ffn_3d.0.linear2.bias',
        'sem_seg_head.predictor.transformer_ffn_layers.2.norm.weight',
    ],
)
def test_a_missing_name_is_named(official, name):
    left = {key: value for key, value in official.items() if key != name}
    with pytest.raises(ValueError, match=f'1 names are missing, the first is .{name}'):
        convert_detectron2(left)


def test_an_unknown_name_is_named(official):
    more = {**official, 'proposal_generator.rpn_head.conv.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match='1 names are unknown.*proposal_generator.rpn_head'):
        convert_detectron2(more)


def test_buffers_of_the_official_modules_are_dropped(reference, official):
    info, _ = reference.load('cropformer_swin_tinycfg')
    buffers = {
        entry['name']: torch.zeros(entry['shape'])
        for entry in info['state_dict']
        if not entry['filled']
    }
    assert buffers
    assert convert_detectron2({**official, **buffers}).keys() == convert_detectron2(official).keys()


def test_patch_merging_by_hand():
    # one channel: official order (0,0), (1,0), (0,1), (1,1); unfold (0,0), (0,1), (1,0), (1,1)
    assert merge_patches_like_unfold(torch.tensor([0, 10, 1, 11])).tolist() == [0, 1, 10, 11]
    # two channels a, b: unfold keeps the neighbours of a channel together
    official = torch.tensor([0, 100, 10, 110, 1, 101, 11, 111])
    merged = merge_patches_like_unfold(official)
    assert merged.tolist() == [0, 1, 10, 11, 100, 101, 110, 111]


@pytest.mark.slow
def test_hornet_l_loads_strictly(reference):
    info, _ = reference.load('cropformer_hornet_l_384')
    weights = {e['name']: torch.zeros(e['shape']) for e in info['state_dict'] if e['filled']}
    model = build('cropformer_hornet-l_3x.py')
    model.load_state_dict(convert_detectron2(weights), strict=True)
    assert sum(p.numel() for p in model.parameters()) == info['num_parameters']
