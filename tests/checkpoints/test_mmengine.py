"""Checkpoints that come in through mmengine, in configs that list no hook of mmentity."""

import pickle
import subprocess
import sys
from itertools import count

import pytest
import torch
from mmdet.apis import init_detector
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import CheckpointLoader, FlexibleRunner, Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from mmentity.checkpoints import read
from mmentity.checkpoints.safetensors_files import write_safetensors
from mmentity.converters import WeightsError, load_weights, mmentity_to_detectron2
from tests.conftest import IMPORT_FIRST, ROOT
from tests.models.parity import build

NANO = 'demo/cropformer_swin-nano_demo.py'
CONFIG = ROOT / 'configs' / NANO
CLASSES = 'panoptic_head.cls_embed.bias'
NUMBER = count()


def history():
    """What a run keeps beside the weights, with classes of mmengine and numpy values."""
    hub = MessageHub('of a checkpoint')
    hub.update_scalar('train/loss', 1.5)
    hub.update_info('iter', torch.tensor(3).numpy().item())
    return hub.state_dict()


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    return build(NANO).state_dict()


@pytest.fixture(scope='module')
def folder(weights, tmp_path_factory):
    """The same weights in every kind of file."""
    folder = tmp_path_factory.mktemp('checkpoints')
    official = {'model': mmentity_to_detectron2(weights), 'iteration': 7}
    torch.save(official, folder / 'official.pth')
    with (folder / 'detectron2.pkl').open('wb') as file:
        arrays = {name: value.numpy() for name, value in official['model'].items()}
        pickle.dump({'model': arrays, '__author__': 'x'}, file)
    torch.save({'state_dict': weights, 'meta': {}}, folder / 'converted.pth')
    torch.save(weights, folder / 'bare.pth')
    distributed = {f'module.{name}': value for name, value in weights.items()}
    torch.save({'state_dict': distributed, 'meta': {}}, folder / 'distributed.pth')
    torch.save({'model': {f'module.{name}': v for name, v in official['model'].items()}},
               folder / 'official_distributed.pth')  # fmt: skip
    meta = {'iter': 3, 'epoch': 0, 'dataset_meta': {'classes': ('entity',)}}
    own = {'state_dict': weights, 'meta': meta, 'message_hub': history()}
    torch.save(own, folder / 'own.pth')
    write_safetensors(folder / 'own.safetensors', weights, meta)
    write_safetensors(folder / 'official.safetensors', official['model'], {})
    model = build(NANO)
    averaged = {f'module.{name}': value * 0 for name, value in model.state_dict().items()}
    torch.save({**own, 'ema_state_dict': {**averaged, 'steps': torch.tensor(1)}},
               folder / 'ema.pth')  # fmt: skip
    return folder


FILES = (
    'official.pth',
    'detectron2.pkl',
    'official_distributed.pth',
    'converted.pth',
    'bare.pth',
    'distributed.pth',
    'own.pth',
    'ema.pth',
    'own.safetensors',
    'official.safetensors',
)


def assert_equal(state_dict, weights):
    assert state_dict.keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in state_dict.items())


@pytest.mark.parametrize('name', FILES)
def test_init_detector_loads_what_load_weights_loads(name, folder, weights):
    model = init_detector(CONFIG, str(folder / name), device='cpu')
    assert_equal(model.state_dict(), weights)
    direct = build(NANO)
    load_weights(direct, folder / name)
    assert_equal(direct.state_dict(), weights)
    if name.startswith(('official', 'detectron2', 'own')):
        assert model.dataset_meta['classes'] == ('entity',)


def test_init_detector_needs_no_import_of_mmentity(folder):
    """In a process of its own, where mmdet alone is imported if mmcv lets it."""
    code = (
        f'{IMPORT_FIRST}from mmdet.apis import init_detector\n'
        f'model = init_detector({str(CONFIG)!r}, {str(folder / "official.pth")!r}, device="cpu")\n'
        f'print(model.state_dict()[{CLASSES!r}].tolist())'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = torch.load(folder / 'bare.pth', weights_only=True)[CLASSES].tolist()
    assert done.stdout.splitlines()[-1] == str(expected)


@pytest.mark.parametrize('registry', ['MODELS', 'DATASETS'])
def test_own_checkpoints_load_once_a_type_of_mmentity_is_looked_up(registry, folder):
    """A config of mmseg whose data, and nothing else, is of mmentity."""
    name = {'MODELS': 'CropFormer', 'DATASETS': 'EntitySegSemanticDataset'}[registry]
    code = (
        f'{IMPORT_FIRST}from mmseg.registry import {registry}\n'
        f'{registry}.get("mmentity.{name}")\n'
        'from mmengine.runner import CheckpointLoader\n'
        f'print(CheckpointLoader.load_checkpoint({str(folder / "own.pth")!r})["meta"]["iter"])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == '3'


@pytest.fixture(params=['official', 'own'])
def two_classes(request, weights, tmp_path):
    """A file of a model with one class more."""
    name = CLASSES.replace('.bias', '')
    more = {
        key: torch.cat([value, value[:1]]) if key.startswith(name) else value
        for key, value in weights.items()
    }
    path = tmp_path / f'two_classes_{request.param}.pth'
    content = {'state_dict': more, 'meta': {}, 'message_hub': history()}
    if request.param == 'official':
        content = {'model': mmentity_to_detectron2(more)}
    torch.save(content, path)
    return path


def test_init_detector_never_gives_a_random_head(two_classes):
    with pytest.raises(WeightsError, match=rf'{two_classes.name} do not fit the model: panoptic_h'):
        init_detector(CONFIG, str(two_classes), device='cpu')


def test_another_project_is_refused_by_our_models_and_left_alone_elsewhere(tmp_path):
    path = str(tmp_path / 'resnet.pth')
    torch.save(
        {'state_dict': {'backbone.conv1.weight': torch.zeros(1)}, 'meta': {'epoch': 1}}, path
    )
    with pytest.raises(WeightsError, match=r'resnet.pth: .* belong to another project'):
        init_detector(CONFIG, path, device='cpu')
    loaded = CheckpointLoader.load_checkpoint(path)
    assert loaded['meta'] == {'epoch': 1}
    assert list(loaded['state_dict']) == ['backbone.conv1.weight']


def run_of(kind, path, tmp_path, **options):
    """A runner whose config lists mmengine's hooks alone."""
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(CONFIG)
    return kind(
        model=config.model,
        work_dir=str(tmp_path),
        load_from=str(path),
        default_scope='mmdet',
        experiment_name=f'run_without_hook_{next(NUMBER)}',
        cfg=config,
        **options,
    )


def load(runner, training):
    """Load as a runner does before its loop, and switch the model as the loop does first."""
    runner.call_hook('before_run')
    runner.load_or_resume()
    runner.model.train(training)
    return runner.model.state_dict()


EMA = {'custom_hooks': [{'type': 'EMAHook', 'ema_type': 'ExponentialMovingAverage'}]}


@pytest.mark.parametrize('options', [{}, EMA], ids=['plain', 'ema'])
@pytest.mark.parametrize('name', ['official.pth', 'own.pth', 'ema.pth', 'own.safetensors'])
def test_runners_need_no_hook_in_the_config(name, options, folder, weights, tmp_path):
    runner = run_of(Runner, folder / name, tmp_path, **options)
    assert_equal(load(runner, training=False), weights)
    for hook in runner.hooks:
        if hasattr(hook, 'ema_model'):
            # what a test of this config computes with
            assert_equal(hook.ema_model.module.state_dict(), weights)


@pytest.mark.parametrize('options', [{}, EMA], ids=['plain', 'ema'])
def test_runners_start_a_head_of_other_classes_anew_in_training_only(
    two_classes, weights, options, tmp_path
):
    runner = run_of(Runner, two_classes, tmp_path / 'train', **options)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    loaded = load(runner, training=True)
    expected = {name: before[name] if 'cls_embed' in name else weights[name] for name in weights}
    assert_equal(loaded, expected)
    runner.model.eval()
    with pytest.raises(WeightsError, match='do not fit the model: panoptic_head.cls_embed'):
        load(run_of(Runner, two_classes, tmp_path / 'test', **options), training=False)


@pytest.mark.parametrize('name', ['official.pth', 'own.pth'])
def test_flexible_runner_loads(name, folder, weights, tmp_path):
    runner = run_of(FlexibleRunner, folder / name, tmp_path)
    runner.strategy.prepare(runner.model)
    runner.model = runner.strategy.model
    runner.load_or_resume()
    assert_equal(runner.model.eval().state_dict(), weights)


def test_averaged_model_takes_official_names_below_its_prefix(folder, weights):
    averaged = ExponentialMovingAverage(build(NANO))
    official = torch.load(folder / 'official.pth', weights_only=True)['model']
    state_dict = {f'module.{name}': value for name, value in official.items()}
    averaged.load_state_dict({**state_dict, 'steps': torch.tensor(1)})
    assert_equal(averaged.module.state_dict(), weights)


def test_a_part_of_the_weights_loads_as_pytorch_says(weights):
    """Without a file, ``load_state_dict`` of PyTorch decides what may be missing."""
    model = build(NANO)
    model.load_state_dict({CLASSES: weights[CLASSES] + 1}, strict=False)
    assert torch.equal(model.eval().state_dict()[CLASSES], weights[CLASSES] + 1)
    with pytest.raises(RuntimeError, match='Missing key'):
        model.load_state_dict({CLASSES: weights[CLASSES]})


def test_official_weights_of_another_loader_are_converted_and_checked(folder, weights):
    """As of a URL: mmengine then knows neither the file nor the key of the weights."""
    official = torch.load(folder / 'official.pth', weights_only=True)
    model = build(NANO)
    _load_checkpoint_to_model(model, official)
    assert_equal(model.eval().state_dict(), weights)
    bias = 'sem_seg_head.predictor.class_embed.bias'
    official['model'][bias] = torch.zeros(3)
    _load_checkpoint_to_model(model.train(), official)
    with pytest.raises(WeightsError, match='do not fit the model: panoptic_head.cls_embed.bias'):
        model.eval()


class TestBeforeTorch26:
    """The package's own unpickler, in the place of torch's safe loader."""

    @pytest.fixture(autouse=True)
    def old_torch(self, monkeypatch):
        monkeypatch.setattr(read, 'HAS_ALLOW_LIST', False)

    @pytest.mark.parametrize('name', FILES)
    def test_every_file_is_read(self, name, folder, weights):
        model = build(NANO)
        load_weights(model, folder / name)
        assert_equal(model.state_dict(), weights)

    def test_the_history_of_a_run_is_read(self, folder):
        scalars = read.read_checkpoint(folder / 'own.pth')['message_hub']['log_scalars']
        assert scalars['train/loss'].current() == 1.5

    @pytest.mark.parametrize('new_format', [True, False])
    def test_code_is_refused(self, new_format, tmp_path):
        path = tmp_path / 'code.pth'
        torch.save({'model': print}, path, _use_new_zipfile_serialization=new_format)
        with pytest.raises(WeightsError, match=r'wants to call (builtins|__builtin__).print'):
            read.read_checkpoint(path)

    def test_old_format_is_read(self, weights, tmp_path):
        torch.save(weights, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
        assert_equal(read.read_checkpoint(tmp_path / 'old.pth'), weights)
