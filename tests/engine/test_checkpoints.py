"""Checkpoints of other sources in a runner."""

import json
from itertools import count
from pathlib import Path

import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.runner import Runner

from mmentity.converters import WeightsError, convert_detectron2, mmentity_to_detectron2
from tests.cli.test_tools import CONFIG, options
from tests.cli.test_tools import run as run_tool
from tests.conftest import ROOT
from tests.models.parity import build, tiny_options

NUMBER = count()
TINY = '_base_/models/cropformer_swin-t.py'


@pytest.fixture(scope='module')
def official(reference):
    info, _ = reference.load('cropformer_swin_tinycfg')
    return reference.weights(info)


class Run:
    """What a runner does before training or testing, without data."""

    def __init__(self, path, tmp_path, training, **options):
        register_all_modules(init_default_scope=True)
        self.training = training
        config = Config.fromfile(ROOT / 'configs' / TINY)
        config.merge_from_dict({**tiny_options(), **options})
        self.runner = Runner(
            model=config.model,
            work_dir=str(tmp_path),
            custom_hooks=[{'type': 'mmentity.SafeCheckpointHook'}],
            load_from=str(path),
            default_scope='mmdet',
            experiment_name=f'run_{next(NUMBER)}',
            cfg=config,
        )
        if training:
            optim_wrapper = {'optimizer': {'type': 'SGD', 'lr': 0.1}}
            self.runner.optim_wrapper = self.runner.build_optim_wrapper(optim_wrapper)
        self.before = {name: v.clone() for name, v in self.runner.model.state_dict().items()}

    def load(self):
        self.runner.call_hook('before_run')
        self.runner.load_or_resume()
        # as the loops of training and testing begin
        self.runner.model.train(self.training)
        return self.runner.model.state_dict()

    def log(self):
        return next(path.read_text() for path in Path(self.runner.log_dir).glob('*.log'))


@pytest.fixture
def run(tmp_path):
    def make(path, training=False, **options):
        return Run(path, tmp_path / 'run', training, **options)

    return make


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('name', ['official.pth', 'official.pkl'])
def test_official_weights_are_converted_in_memory(name, training, official, run, tmp_path):
    torch.save({'model': official}, tmp_path / name)
    made = run(tmp_path / name, training)
    loaded = made.load()
    expected = convert_detectron2(official)
    assert all(torch.equal(loaded[key], value) for key, value in expected.items())
    assert made.log().count('weights converted in memory') == 1


def test_training_begins_with_another_number_of_classes(official, run, tmp_path):
    torch.save(official, tmp_path / 'one_class.pth')
    classes = {
        'model.panoptic_head.num_things_classes': 4,
        'model.panoptic_head.loss_cls.class_weight': [1.0] * 4 + [0.1],
        'model.panoptic_fusion_head.num_things_classes': 4,
    }
    made = run(tmp_path / 'one_class.pth', True, **classes)
    loaded = made.load()
    anew = {'panoptic_head.cls_embed.weight', 'panoptic_head.cls_embed.bias'}
    for name, value in convert_detectron2(official).items():
        assert torch.equal(loaded[name], made.before[name] if name in anew else value), name
    assert 'in 2 weights, which start anew or are dropped: panoptic_head.cls_embed' in made.log()
    with pytest.raises(WeightsError, match='one_class.pth do not fit the config'):
        run(tmp_path / 'one_class.pth', False, **classes).load()


def test_training_begins_from_another_window(official, run, tmp_path):
    torch.save(official, tmp_path / 'window_7.pth')
    made = run(tmp_path / 'window_7.pth', True, **{'model.backbone.window_size': 4})
    loaded = made.load()
    name = 'backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    assert loaded[name].shape == (49, 2)
    official_name = 'backbone.layers.0.blocks.0.attn.relative_position_bias_table'
    # no position differs (0, 0): the middle of both tables
    assert torch.allclose(loaded[name][24], official[official_name][84])
    index = name.replace('bias_table', 'index')
    assert torch.equal(loaded[index], made.before[index])


def test_training_begins_from_a_backbone(official, run, tmp_path):
    backbone = {
        name[len('backbone.') :]: value
        for name, value in official.items()
        if name.startswith('backbone.') and not name.startswith('backbone.norm')
    }
    torch.save({'model': {**backbone, 'head.weight': torch.zeros(3, 3)}}, tmp_path / 'imagenet.pth')
    made = run(tmp_path / 'imagenet.pth', True)
    loaded = made.load()
    name = 'backbone.stages.0.blocks.0.attn.w_msa.qkv.weight'
    assert torch.equal(loaded[name], official['backbone.layers.0.blocks.0.attn.qkv.weight'])
    assert torch.equal(loaded['backbone.norm3.weight'], made.before['backbone.norm3.weight'])
    with pytest.raises(WeightsError, match='holds a backbone alone, which cannot be tested'):
        run(tmp_path / 'imagenet.pth', False).load()


@pytest.mark.parametrize('training', [False, True])
def test_another_backbone_stops_the_run(training, official, run, tmp_path):
    torch.save(official, tmp_path / 'narrow.pth')
    wide = {
        'model.backbone.arch.embed_dims': 48,
        'model.panoptic_head.in_channels': [48, 96, 192, 384],
    }
    with pytest.raises(WeightsError, match='narrow.pth do not fit the config.*backbone.patch_em'):
        run(tmp_path / 'narrow.pth', training, **wide).load()


def test_official_weights_cannot_be_resumed(official, run, tmp_path):
    torch.save(official, tmp_path / 'official.pth')
    made = run(tmp_path / 'official.pth', True)
    made.runner._resume = True
    with pytest.raises(WeightsError, match='holds no state of a training; begin with it as load'):
        made.load()


@pytest.fixture(scope='module')
def nano(tmp_path_factory):
    """A nano CropFormer as mmentity saves it, and as the official code would."""
    folder = tmp_path_factory.mktemp('nano')
    weights = build('demo/cropformer_swin-nano_demo.py').state_dict()
    torch.save({'state_dict': weights, 'meta': {}}, folder / 'ours.pth')
    torch.save({'model': mmentity_to_detectron2(weights)}, folder / 'official.pth')
    return folder


def test_the_test_tool_scores_an_official_file(nano, demo_root, tmp_path):
    metrics = {}
    for name in ('ours', 'official'):
        done = run_tool('test', CONFIG, nano / f'{name}.pth', '--work-dir', tmp_path / name,
                        *options(demo_root))  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        metrics[name] = json.loads((tmp_path / name / 'metrics.json').read_text())['metrics']
        log = done.stdout + done.stderr
        assert ('weights converted in memory' in log) == (name == 'official')
    assert metrics['ours'] == metrics['official']


def test_the_test_tool_ends_with_a_message(demo_root, tmp_path):
    weights = build('demo/mask2former_swin-nano_demo.py').state_dict()
    torch.save({'model': mmentity_to_detectron2(weights)}, tmp_path / 'one_pass.pth')
    done = run_tool('test', CONFIG, tmp_path / 'one_pass.pth', '--work-dir', tmp_path / 'run',
                    *options(demo_root))  # fmt: skip
    assert done.returncode == 2
    message = done.stderr.strip().splitlines()[-1]
    assert 'one_pass.pth do not fit the config cropformer_swin-nano_demo.py: ' in message
    assert 'they fit demo/mask2former_swin-nano_demo.py' in message
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    ('name', 'error', 'message'),
    [
        ('text.pth', WeightsError, 'text.pth is no checkpoint: it begins with'),
        ('lost.pth', FileNotFoundError, 'lost.pth does not exist'),
    ],
)
def test_a_bad_file_stops_the_run_by_name(name, error, message, run, tmp_path):
    (tmp_path / 'text.pth').write_text('no weights')
    with pytest.raises(error, match=message):
        run(tmp_path / name).load()
