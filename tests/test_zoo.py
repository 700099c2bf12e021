"""The metafile of all configs, what `mim search` shows, and the tables made of it."""

import math
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mim.commands.search import get_model_info

from mmentity.checkpoints.configs import BUFFERS, expected_shapes
from mmentity.models.complexity import measure_complexity
from mmentity.utils.shipped_configs import shipped_configs
from tests.conftest import ROOT
from tests.models.parity import build

ZOO = runpy.run_path(str(ROOT / 'docs' / 'zoo.py'))
MODELS = {model['Config'][len('configs/') :]: model for model in ZOO['models']()}


def test_every_config_has_its_entry():
    assert len(MODELS) == len(ZOO['models']())
    assert sorted(MODELS) == sorted(shipped_configs())
    for config, model in MODELS.items():
        assert config.endswith(f'{model["Name"]}.py')
        assert model['In Collection'].lower() == model['Name'].split('_')[0]


@pytest.mark.parametrize('config', MODELS)
def test_architecture_is_that_of_the_config(config):
    if 'dinov3' in config:
        pytest.importorskip('timm')
    metadata = MODELS[config]['Metadata']
    shapes = expected_shapes(ROOT / 'configs' / config)
    parameters = {name: shape for name, shape in shapes.items() if not name.endswith(BUFFERS)}
    assert metadata['Parameters'] == sum(map(math.prod, parameters.values()))
    backbone = {
        name: shape
        for name, shape in parameters.items()
        if name.startswith('backbone.') and not name.startswith('backbone.norm')
    }
    assert metadata['Backbone Parameters'] == sum(map(math.prod, backbone.values()))
    assert (metadata['Queries'], metadata['Classes'] + 1) == (
        len_of(shapes, 'query_feat.weight'),
        len_of(shapes, 'cls_embed.bias'),
    )
    views = 5 if any('.association.' in name for name in shapes) else 1
    assert metadata['Input'].startswith(f'{views} x ')
    # a multiply-add for each weight and place: far more than weights
    assert metadata['FLOPs'] > 4 * metadata['Parameters'] * views / 5


def len_of(shapes, leaf):
    return shapes[f'panoptic_head.{leaf}'][0]


@pytest.mark.parametrize('model', ['cropformer', 'mask2former'])
def test_multiply_adds_of_the_nano_models_are_measured_again(model):
    config = f'demo/{model}_swin-nano_demo.py'
    metadata = MODELS[config]['Metadata']
    views, height, width = (int(part) for part in metadata['Input'].split()[:5:2])
    found = measure_complexity(build(config), height, width, views)
    assert found.parameters == metadata['Parameters']
    # a few operations are written differently from one version of PyTorch to the next
    assert found.flops == pytest.approx(metadata['FLOPs'], rel=0.02)
    if torch.__version__.startswith('2.9.'):
        assert f'{found.flops:.4g}' == f'{metadata["FLOPs"]:.4g}'


def test_input_of_the_counter_is_checked():
    with pytest.raises(ValueError, match='the input is 800x1333; both sides must be multiples'):
        measure_complexity(None, 800, 1333, 5)


def test_mim_search_lists_every_config(monkeypatch):
    # a build leaves mmentity.egg-info in the checkout, which mim would take for the package
    monkeypatch.setattr(sys, 'path', [path for path in sys.path if Path(path).resolve() != ROOT])
    found = get_model_info('mmentity', to_dict=True)
    assert found.keys() == {model['Name'] for model in MODELS.values()}
    best = found['cropformer_hornet-l_3x']
    assert best['entityseg/ape_reported_by_the_authors'] == 51.5
    assert best['weights_page'].startswith('https://huggingface.co/datasets/qqlu1992/')


def test_tables_are_those_of_the_metafile():
    assert not ZOO['stale_pages'](), 'run python docs/zoo.py'


def test_a_page_without_markers_is_named():
    with pytest.raises(ValueError, match='the page has no <!-- zoo:begin -->'):
        ZOO['with_table']('text', 'table')
