"""Every family of the release: round trip, recognition, real size."""

import numpy as np
import pytest
import torch

from mmentity.checkpoints.configs import describe, expected_shapes, fitting_configs
from mmentity.checkpoints.fit import shapes_of
from mmentity.checkpoints.key_map import (
    merge_patches_like_official,
    merge_patches_like_unfold,
    relative_position_indices,
)
from mmentity.checkpoints.recognise import BACKBONE, recognise
from mmentity.converters import (
    convert_backbone,
    convert_detectron2,
    load_weights,
    mmentity_to_detectron2,
)
from mmentity.utils.shipped_configs import CONFIGS, shipped_configs
from tests.checkpoints.official_names import FAMILIES, cheap_weights, official_shapes
from tests.models.parity import build, run_tool


@pytest.fixture(params=FAMILIES)
def official(request, reference):
    return cheap_weights(official_shapes(reference, FAMILIES[request.param]))


def test_the_derived_lists_are_those_of_the_fixtures(reference):
    for family, fixture in (
        ('mask2former_swin-t', 'mask2former_swin_t'),
        ('cropformer_hornet-l', 'cropformer_hornet_l_384'),
    ):
        info, _ = reference.load(fixture)
        listed = {entry['name']: tuple(entry['shape']) for entry in info['state_dict']}
        assert official_shapes(reference, FAMILIES[family]) == listed
    tiny, _ = reference.load('cropformer_swin_tinycfg')
    derived = official_shapes(reference, FAMILIES['cropformer_swin-t']).keys()
    # the small one has fewer layers and blocks
    assert {entry['name'] for entry in tiny['state_dict']} < derived


def test_round_trip(official):
    """Official -> mmentity -> official is the identity, constants included."""
    converted = convert_detectron2(official)
    back = mmentity_to_detectron2(converted)
    assert back.keys() == official.keys()
    for name, value in back.items():
        if name.endswith('empty_weight'):
            assert value.tolist() == [1.0] * (len(value) - 1) + [pytest.approx(0.1)]
        elif not name.endswith('relative_position_index'):
            assert torch.equal(value, official[name]), name
    again = convert_detectron2(back)
    assert again.keys() == converted.keys()
    assert all(torch.equal(value, converted[name]) for name, value in again.items())


def test_constants_are_those_of_the_official_model():
    """By the definition of Swin: rows and columns apart, counted from the lowest."""
    window = 3
    table = {'a.relative_position_bias_table': torch.zeros((2 * window - 1) ** 2, 2)}
    index = relative_position_indices(table)['a.relative_position_index'].numpy()
    for i in range(window**2):
        for j in range(window**2):
            (row, column), (row_j, column_j) = divmod(i, window), divmod(j, window)
            apart = (row - row_j + window - 1, column - column_j + window - 1)
            assert index[i, j] == np.ravel_multi_index(apart, (2 * window - 1,) * 2)


def test_patch_merging_has_an_inverse():
    value = torch.arange(48.0).view(2, 24)
    assert not torch.equal(merge_patches_like_unfold(value), value)
    assert torch.equal(merge_patches_like_official(merge_patches_like_unfold(value)), value)


@pytest.fixture(scope='module')
def converted(reference):
    """Weights of every family in mmentity's names."""
    return {
        name: convert_detectron2(cheap_weights(official_shapes(reference, family)))
        for name, family in FAMILIES.items()
    }


OFFICIAL_BACKBONES = ('_swin-', '_hornet-')


@pytest.mark.parametrize(
    'config',
    [
        name
        for name in shipped_configs()
        if '/' not in name and any(part in name for part in OFFICIAL_BACKBONES)
    ],
)
def test_every_config_of_the_release_is_recognised(config, converted):
    """One family, and no other, has its names and shapes."""
    expected = expected_shapes(CONFIGS / config)
    fitting = [
        name
        for name, weights in converted.items()
        if {key: tuple(value.shape) for key, value in weights.items()} == expected
    ]
    assert len(fitting) == 1
    assert config in fitting_configs(recognise(converted[fitting[0]]).state_dict)
    model, backbone = config.split('_')[:2]
    assert fitting[0].startswith(f'{model}_{backbone}')


def test_weights_are_described(converted):
    assert describe(converted['mask2former_swin-l-w12_panoptic']) == (
        'Mask2Former, Swin of width 192, window 12, 200 queries, 350 classes'
    )


@pytest.mark.slow
@pytest.mark.parametrize('name', ['cropformer_swin-l', 'cropformer_hornet-l'])
def test_strict_load_at_real_size(name, reference, tmp_path):
    weights = cheap_weights(official_shapes(reference, FAMILIES[name]))
    torch.save({'model': weights}, tmp_path / 'official.pth')
    model = build(f'{name}_3x.py')
    load_weights(model, tmp_path / 'official.pth')
    converted = convert_detectron2(weights)
    assert all(torch.equal(value, converted[key]) for key, value in model.state_dict().items())


def imagenet(reference, backbone, style):
    """A classifier of ImageNet under the names of one of its sources."""
    family = FAMILIES[f'mask2former_{backbone}']
    official = cheap_weights(official_shapes(reference, family))
    feature_norms = tuple(f'backbone.norm{i}.' for i in range(4))
    backbone = {
        name: value
        for name, value in official.items()
        if name.startswith('backbone.') and not name.startswith(feature_norms)
    }
    width = len(official['backbone.norm3.weight'])
    if style == 'mmpretrain':
        ours = {
            name: value
            for name, value in convert_detectron2(official).items()
            if name.startswith('backbone.') and not name.startswith(feature_norms[:3])
        }
        return {**ours, 'head.fc.weight': torch.zeros(9, width), 'head.fc.bias': torch.zeros(9)}
    names = {name[len('backbone.') :]: value for name, value in backbone.items()}
    classifier = {
        'norm.weight': torch.ones(width),
        'norm.bias': torch.zeros(width),
        'head.weight': torch.zeros(9, width),
        'head.bias': torch.zeros(9),
    }
    if any('relative_position' in name for name in names):
        classifier['layers.0.blocks.1.attn_mask'] = torch.zeros(64, 49, 49)
    return {**names, **classifier}


@pytest.mark.parametrize('style', ['authors', 'mmpretrain'])
@pytest.mark.parametrize('backbone', ['swin-t', 'swin-l', 'hornet-l'])
def test_backbones_of_imagenet(backbone, style, reference):
    weights = imagenet(reference, backbone, style)
    recognised = recognise(weights)
    assert recognised.source == BACKBONE
    configs = fitting_configs(recognised.state_dict)
    assert f'cropformer_{backbone}_3x.py' in configs
    assert not any('swin-t' in name for name in configs if backbone != 'swin-t')
    dropped = recognised.dropped
    assert set(recognised.mapped) | set(dropped) == set(weights)
    assert sum(reason.endswith('classifier of ImageNet') for reason in dropped.values()) == 4
    family = FAMILIES[f'mask2former_{backbone}']
    whole = convert_detectron2(cheap_weights(official_shapes(reference, family)))
    converted = convert_backbone(weights)
    assert all(torch.equal(value, whole[name]) for name, value in converted.items())
    assert not any('norm3' in name or 'head' in name for name in converted)


def test_a_backbone_of_the_nano_demo_comes_from_the_model_itself(tmp_path, capsys):
    model = build('demo/mask2former_swin-nano_demo.py')
    names = {name: value for name, value in model.state_dict().items() if 'backbone' in name}
    torch.save({'state_dict': names, 'meta': {}}, tmp_path / 'nano.pth')
    run_tool('detectron2_to_mmentity', tmp_path / 'nano.pth', tmp_path)
    assert 'configs that they fit: demo/cropformer_swin-nano_demo.py' in capsys.readouterr().out
    converted = torch.load(next(tmp_path.glob('nano_*.pth')), weights_only=True)['state_dict']
    shapes = shapes_of(model)
    assert all(tuple(value.shape) == shapes[name] for name, value in converted.items())
