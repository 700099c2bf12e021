"""Uses 1 to 50 of a user of mmdet and mmseg that are about configs, runners and test options.

The number in the name of a test is that of the use.
"""

import contextlib
import io
import itertools
import json
import os
import re
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from unittest import mock

import mmdet
import pytest
import torch
from mim.commands.download import download
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmentity
from mmentity.cli import main
from mmentity.engine import ShardedOptimWrapper
from mmentity.utils.shipped_configs import CONFIGS
from tests.conftest import ROOT, require_compiled_ops
from tests.test_drop_in import documented_config, shrink

MMDET = Path(mmdet.__file__).parent
RUNS = itertools.count()
HEADER = """
train_cfg = dict(max_iters=4, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
param_scheduler = [dict(type='PolyLR', power=0.9, begin=0, end=4, by_epoch=False)]
"""


@pytest.fixture(autouse=True)
def mmdet_scope():
    yield
    init_default_scope('mmdet')


def named():
    """Options by which runs of one process do not share mmengine's global instances."""
    name = f'running_{next(RUNS)}'
    return ['--cfg-options', f'experiment_name={name}', f'visualizer.name={name}']


def run(*arguments):
    """Run a command that has to succeed."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        code = main([*map(str, arguments), *named()])
    assert code == 0, err.getvalue()


def refusal(*arguments):
    """Run a command that has to end with 2; returns its message."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert main([*map(str, arguments), *named()]) == 2
    return err.getvalue().strip().splitlines()[-1]


def run_mmdet(tool, *arguments):
    """Run one of the tools that mmdet ships."""
    path = MMDET / '.mim' / 'tools' / f'{tool}.py'
    if not path.is_file():
        pytest.skip('this mmdet ships no tools')
    argv = [str(path), *map(str, arguments), *named()]
    with mock.patch.object(sys, 'argv', argv):
        runpy.run_path(str(path), run_name='__main__')


def shrink_data(config, demo_root):
    """Small images of the demo data, loaded without processes."""
    for split in ('train', 'val', 'test'):
        loader = config[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.data_root = str(demo_root)
        if 'ann_file' in config.get(f'{split}_evaluator', {}):
            config[f'{split}_evaluator'].ann_file = f'{demo_root}/{loader.dataset.ann_file}'
    pipelines = [config[f'{split}_dataloader'].dataset.pipeline for split in ('train', 'val')]
    pipelines += [config.test_dataloader.dataset.pipeline]
    if 'tta_pipeline' in config:
        pipelines += config.tta_pipeline[-1].transforms
    for step in itertools.chain(*pipelines):
        if step.type == 'mmentity.ResizeViews':
            step.update(short_side=64, long_side=96)
        elif step.type == 'mmentity.LargeScaleJitter':
            step.update(size=96)


@pytest.fixture
def nano(demo_root, tmp_path):
    """Write a config over a nano one: its text goes on from ``HEADER``."""

    def write(text='', base='demo/cropformer_swin-nano_demo.py', header=HEADER):
        config = Config.fromfile(ROOT / 'configs' / base)
        shrink_data(config, demo_root)
        config.model.train_cfg.num_points = 128
        config.dump(tmp_path / 'nano.py')
        path = tmp_path / f'config_{next(RUNS)}.py'
        path.write_text(f"_base_ = './nano.py'\n{header}{text}")
        return path

    return write


def run_two_processes(folder, *arguments):
    """Run ``run_all.py`` of a folder in two processes, which has to succeed."""
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2',
         '--standalone', 'run_all.py', *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
        timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def mim(command, package, config, *arguments):
    """Run a command of mim on the CPU, which has to succeed."""
    done = subprocess.run(
        [sys.executable, '-c', 'from mim.cli import cli; cli()', command, package, str(config),
         '--launcher', 'none', '--gpus', '0', *map(str, arguments)],
        capture_output=True,
        text=True,
        # a build leaves mmentity.egg-info in the checkout, which mim would take for the package
        cwd=config.parent,
        env={key: value for key, value in os.environ.items() if key != 'PYTHONPATH'},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def losses(work_dir):
    """Logged losses by iteration."""
    rows = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if 'loss' in row:
                rows[row['step']] = row['loss']
    return rows


def metrics(work_dir):
    return json.loads((work_dir / 'metrics.json').read_text())['metrics']


@pytest.mark.slow
@pytest.mark.parametrize('package', ['mmentity', 'mmdet'])
def test_01_mim_train(nano, tmp_path, package):
    if package == 'mmdet' and not any(d.name == 'openmim' for d in metadata.distributions()):
        pytest.skip('onedl-mim looks for the tools of mmdet in a folder that pip does not make')
    mim('train', package, nano('train_cfg.update(max_iters=1)'), '--work-dir', tmp_path / 'work')
    assert (tmp_path / 'work/iter_1.pth').is_file()


@pytest.mark.slow
def test_47_mim_gridsearch(nano, tmp_path):
    path = nano('train_cfg.update(max_iters=1)')
    searched = '--optim_wrapper.optimizer.lr 1e-3 1e-4'
    mim('gridsearch', 'mmentity', path, '--work-dir', tmp_path / 'work', '--search-args', searched)
    assert len(list(tmp_path.glob('work_*/iter_1.pth'))) == 2


@pytest.mark.parametrize('train', [run, run_mmdet], ids=['mmentity', 'mmdet'])
def test_06_resume_with_another_number_of_workers(nano, tmp_path, train):
    train('train', nano('train_cfg.update(max_iters=2)\n'), '--work-dir', tmp_path / 'work')
    more = nano('train_dataloader = dict(num_workers=1)\n')
    train('train', more, '--work-dir', tmp_path / 'work', '--resume')
    assert sorted(losses(tmp_path / 'work')) == [1, 2, 3, 4]


def test_08_auto_scale_lr_without_a_base_batch_size(nano):
    message = refusal('train', nano(), '--auto-scale-lr')
    assert 'has no auto_scale_lr.base_batch_size' in message


class TestFlippedCopies:
    @pytest.fixture
    def weights(self, nano, tmp_path):
        config = nano()
        register_all_modules(init_default_scope=True)
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(config).model)
        with torch.no_grad():
            # masks that differ
            model.panoptic_head.mask_embed[-1].weight.mul_(20)
        torch.save({'state_dict': model.state_dict()}, tmp_path / 'nano.pth')
        return config, tmp_path / 'nano.pth'

    def test_09_tta(self, weights, tmp_path):
        run('test', *weights, '--work-dir', tmp_path / 'plain')
        run('test', *weights, '--work-dir', tmp_path / 'tta', '--tta', '--out', tmp_path / 'a.pkl')
        plain, tta = metrics(tmp_path / 'plain'), metrics(tmp_path / 'tta')
        assert plain.keys() == tta.keys()
        assert 0 <= tta['entity/APe'] <= 100
        assert (tmp_path / 'a.pkl').is_file()

    def test_09_tta_of_mmdet(self, weights, tmp_path):
        run_mmdet('test', *weights, '--work-dir', tmp_path / 'mmdet', '--tta')
        run('test', *weights, '--work-dir', tmp_path / 'tta', '--tta')
        rows = [json.loads(path.read_text()) for path in (tmp_path / 'mmdet').glob('*/*.json')]
        found = next(row for row in rows if 'entity/APe' in row)
        assert found['entity/ARe_100'] == pytest.approx(metrics(tmp_path / 'tta')['entity/ARe_100'])

    def test_09_tta_needs_its_settings(self, weights, tmp_path):
        config = Config.fromfile(weights[0])
        config.pop('tta_model')
        config.dump(tmp_path / 'without.py')
        message = refusal('test', tmp_path / 'without.py', weights[1], '--tta')
        assert 'without.py has no tta_model' in message


@pytest.mark.parametrize('task', ['instance', 'semantic', 'panoptic'])
def test_09_tta_of_other_tasks(nano, tmp_path, task):
    path = nano(base=f'demo/mask2former_swin-nano_demo_{task}.py')
    config = Config.fromfile(path)
    config.model.test_cfg.update(object_mask_thr=0.0, iou_thr=0.0)
    config.dump(path)
    register_all_modules(init_default_scope=True)
    torch.save({'state_dict': MODELS.build(config.model).state_dict()}, tmp_path / 'nano.pth')
    run('test', path, tmp_path / 'nano.pth', '--work-dir', tmp_path / 'tta', '--tta')
    assert metrics(tmp_path / 'tta')


@pytest.mark.slow
@pytest.mark.parametrize('task', ['semantic', 'panoptic'])
def test_10_two_processes(nano, tmp_path, task):
    """They train, in mixed precision where the task is semantic, and score as one does."""
    path = nano(
        'train_dataloader = dict(batch_size=1)\ntrain_cfg.update(max_iters=1)\n',
        base=f'demo/mask2former_swin-nano_demo_{task}.py',
    )
    (tmp_path / 'run_all.py').write_text(
        'import sys\n'
        'from mmentity.cli import main\n'
        'config, *options = sys.argv[1:]\n'
        'two = [config, "--launcher", "pytorch"]\n'
        'code = main(["train", *two, "--work-dir", "work", *options]) or main(\n'
        '    ["test", *two[:1], "work/iter_1.pth", *two[1:], "--work-dir", "two",\n'
        '     "--cfg-options", "experiment_name=test", "visualizer.name=test"])\n'
        'sys.exit(code)\n'
    )
    run_two_processes(tmp_path, path, *['--amp'] * (task == 'semantic'))
    run('test', path, tmp_path / 'work/iter_1.pth', '--work-dir', tmp_path / 'one')
    # matrix products may differ by rounding between processes
    assert metrics(tmp_path / 'two') == pytest.approx(metrics(tmp_path / 'one'), abs=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU the tools of mmdet can')
def test_11_processes_of_mmdets_tools_need_a_gpu(nano, tmp_path, monkeypatch):
    """Impossible on CPUs: mmengine gives every process a GPU before it asks for the backend."""
    place = {'RANK': 0, 'WORLD_SIZE': 1, 'LOCAL_RANK': 0, 'MASTER_ADDR': 'localhost'}
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises((AssertionError, RuntimeError), match='CUDA|NVIDIA'):
        run_mmdet(
            'test', nano(), 'none.pth', '--work-dir', tmp_path / 'work', '--launcher', 'pytorch'
        )


BACKBONES = {
    'ResNet-18': dict(
        backbone=dict(
            _delete_=True, type='mmdet.ResNet', depth=18, frozen_stages=1, norm_eval=True,
            norm_cfg=dict(type='BN', requires_grad=False),
        ),
        panoptic_head=dict(in_channels=[64, 128, 256, 512]),
    ),
    'ConvNeXt-V2': dict(
        backbone=dict(
            _delete_=True, type='mmpretrain.ConvNeXt', arch='atto', use_grn=True,
            layer_scale_init_value=0.0, out_indices=(0, 1, 2, 3), gap_before_final_norm=False,
        ),
        panoptic_head=dict(in_channels=[40, 80, 160, 320]),
    ),
}  # fmt: skip


@pytest.mark.parametrize('backbone', BACKBONES)
def test_32_other_backbones(nano, tmp_path, backbone):
    text = f'model = {BACKBONES[backbone]!r}\ntrain_cfg.update(max_iters=1)\n'
    if backbone == 'ConvNeXt-V2':
        text += (
            'optim_wrapper = dict(\n'
            "    constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',\n"
            '    paramwise_cfg=dict(layer_decay_rate=0.8, norm_decay_mult=0.0))\n'
        )
    path = nano(text)
    run('train', path, '--work-dir', tmp_path / 'work')
    run('test', path, tmp_path / 'work/iter_1.pth', '--work-dir', tmp_path / 'test')
    assert 'entity/APe' in metrics(tmp_path / 'test')


def documented(page, base, scope, tmp_path, demo_root):
    """Write a config of the docs, with its model and images made small, to a file."""
    code = documented_config(page, base)
    configs = Path(__import__(scope).__file__).parent / '.mim' / 'configs'
    code = code.replace(f"'{scope}::", f"'{configs}/").replace('data/entityseg/', f'{demo_root}/')
    (tmp_path / 'documented.py').write_text(code)
    config = Config.fromfile(tmp_path / 'documented.py')
    config.work_dir = str(tmp_path / 'work')
    config.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    shrink(config, scope)
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, val_interval=10)
    config.param_scheduler = []
    config.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=1)
    return config


@pytest.mark.parametrize('model', ['EntityMask2Former', 'CropFormer'])
def test_34_three_type_lines(tmp_path, demo_root, model):
    config = documented('configs.md', 'mmdet::mask2former', 'mmdet', tmp_path, demo_root)
    code = (tmp_path / 'documented.py').read_text()
    if model == 'CropFormer':
        code = code.replace('mmentity.EntityMask2FormerHead', 'mmentity.CropFormerHead')
        code = code.replace('mmentity.EntityMask2Former', 'mmentity.CropFormer')
        code = code.replace('mask2former_swin-t_3x', 'cropformer_swin-t_3x')
        (tmp_path / 'documented.py').write_text(code)
        changed = Config.fromfile(tmp_path / 'documented.py')
        config.model.type, config.model.panoptic_head.type = (
            changed.model.type,
            changed.model.panoptic_head.type,
        )
        for split in ('train', 'val', 'test'):
            config[f'{split}_dataloader'] = changed[f'{split}_dataloader']
    assert len(re.findall("type='mmentity", code)) == 4
    shrink_data(config, demo_root)
    config.dump(tmp_path / 'small.py')
    run('train', tmp_path / 'small.py', '--work-dir', tmp_path / 'work')
    weights = tmp_path / 'work/iter_1.pth'
    run('test', tmp_path / 'small.py', weights, '--work-dir', tmp_path / 'test')
    assert 'entity/APe' in metrics(tmp_path / 'test')


def test_35_segformer(tmp_path, demo_root):
    config = documented('stock_models.md', 'mmseg::segformer', 'mmseg', tmp_path, demo_root)
    config.dump(tmp_path / 'small.py')
    run('train', tmp_path / 'small.py', '--work-dir', tmp_path / 'work')
    weights = tmp_path / 'work/iter_1.pth'
    run('test', tmp_path / 'small.py', weights, '--work-dir', tmp_path / 'test')
    assert 'mIoU' in metrics(tmp_path / 'test')


@pytest.mark.slow
@pytest.mark.parametrize('model', ['mask2former', 'mask_rcnn'])
def test_23_24_train_and_test_a_model_of_mmdet(tmp_path, demo_root, model):
    if model == 'mask_rcnn':
        require_compiled_ops()
    config = documented('stock_models.md', f'mmdet::{model}', 'mmdet', tmp_path, demo_root)
    config.dump(tmp_path / 'small.py')
    run('train', tmp_path / 'small.py', '--work-dir', tmp_path / 'work')
    weights = tmp_path / 'work/iter_1.pth'
    run('test', tmp_path / 'small.py', weights, '--work-dir', tmp_path / 'test')
    assert 'coco/segm_mAP' in metrics(tmp_path / 'test')


@pytest.mark.parametrize('task', ['entity', 'instance', 'semantic', 'panoptic'])
def test_36_wrapped_datasets(nano, task):
    name = 'cropformer_swin-nano_demo' if task == 'entity' else f'mask2former_swin-nano_demo_{task}'
    register_all_modules(init_default_scope=True)
    inner = Config.fromfile(nano(base=f'demo/{name}.py')).train_dataloader.dataset
    number = len(DATASETS.build(inner))
    repeated = DATASETS.build(dict(type='RepeatDataset', times=2, dataset=inner))
    joined = DATASETS.build(dict(type='ConcatDataset', datasets=[inner, inner]))
    for dataset in (repeated, joined):
        assert len(dataset) == 2 * number
        first, again = dataset[0], dataset[number]
        assert first['data_samples'].img_id == again['data_samples'].img_id
        assert len(again['data_samples'].gt_instances) > 0
    balanced = dict(type='ClassBalancedDataset', oversample_thr=1.0, dataset=inner)
    if task == 'semantic':
        with pytest.raises(NotImplementedError, match='does not tell the classes of an image'):
            DATASETS.build(balanced)
    else:
        assert len(DATASETS.build(balanced)) >= number


def test_37_tensorboard(nano, tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = nano("visualizer = dict(vis_backends=[dict(type='TensorboardVisBackend')])\n")
    run('train', path, '--work-dir', tmp_path / 'work')
    (folder,) = tmp_path.glob('work/*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    assert {'loss', 'entity/APe'} <= set(events.Tags()['scalars'])
    assert [event.step for event in events.Scalars('loss')] == [1, 2, 3, 4]


def test_37_wandb_that_is_not_installed_is_named(nano, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    path = nano("visualizer = dict(vis_backends=[dict(type='WandbVisBackend')])\n")
    assert 'pip install wandb' in refusal('train', path, '--work-dir', tmp_path / 'work')


def test_38_own_hooks_and_accumulation(nano, tmp_path):
    path = nano(
        "custom_hooks = [dict(type='EMAHook'),\n"
        "    dict(type='EarlyStoppingHook', monitor='entity/APe', rule='greater')]\n"
        'optim_wrapper = dict(accumulative_counts=2)\n'
    )
    run('train', path, '--work-dir', tmp_path / 'work')
    run('test', path, tmp_path / 'work/iter_2.pth', '--work-dir', tmp_path / 'test')
    assert 'entity/APe' in metrics(tmp_path / 'test')
    run('train', path, '--work-dir', tmp_path / 'again', '--resume', tmp_path / 'work/iter_2.pth')
    assert sorted(losses(tmp_path / 'again')) == [3, 4]


def test_39_epochs(nano, tmp_path):
    path = nano(
        "train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1)\n"
        "train_dataloader = dict(sampler=dict(type='DefaultSampler', shuffle=True))\n"
        'log_processor = dict(by_epoch=True)\n'
        'default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))\n',
        header='param_scheduler = []\n',
    )
    run('train', path, '--work-dir', tmp_path / 'work')
    assert (tmp_path / 'work/epoch_1.pth').is_file()
    assert list((tmp_path / 'work').glob('best_entity_APe_epoch_1.pth'))


@pytest.mark.slow
def test_40_compiled_training(nano, tmp_path):
    path = nano(
        "compile = dict(backend='eager')\ntrain_cfg.update(max_iters=1, val_interval=10)\n"
        'model = dict(backbone=dict(arch=dict(depths=[1, 1, 1, 1])),\n'
        '    panoptic_head=dict(transformer_decoder=dict(num_layers=1)))\n'
    )
    run('train', path, '--work-dir', tmp_path / 'work')
    assert losses(tmp_path / 'work')[1] > 0


FLEXIBLE = "runner_type = 'FlexibleRunner'\nstrategy = "


def test_41_flexible_runner_on_one_device(nano, tmp_path):
    path = nano(f"{FLEXIBLE}dict(type='SingleDeviceStrategy')\n")
    run('train', path, '--work-dir', tmp_path / 'work')
    # the runner is the one of the config: only a strategy writes the state of one
    run('train', path, '--work-dir', tmp_path / 'again', '--resume', tmp_path / 'work/iter_2.pth')
    assert sorted(losses(tmp_path / 'again')) == [3, 4]
    run('test', path, tmp_path / 'work/iter_4.pth', '--work-dir', tmp_path / 'test')
    assert 'entity/APe' in metrics(tmp_path / 'test')


SHARDED = (
    "dict(type='FSDPStrategy', state_dict_cfg='full', model_wrapper=dict(\n"
    "    type='MMFullyShardedDataParallel', use_orig_params=True))\n"
)
TWENTY = """
train_dataloader = dict(batch_size=1)
train_cfg = dict(max_iters=20, val_interval=100)
param_scheduler = [dict(type='PolyLR', power=0.9, begin=0, end=20, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=10), logger=dict(interval=1))
log_processor = dict(window_size=1)
optim_wrapper = dict(clip_grad=None)
"""
RUN_ALL = """
import sys
from mmentity.cli import main
for number, arguments in enumerate((
    ['train', 'ddp.py', '--work-dir', 'ddp'],
    ['train', 'fsdp.py', '--work-dir', 'fsdp'],
    ['train', 'ddp.py', '--work-dir', 'ddp_resumed', '--resume', 'ddp/iter_10.pth'],
    ['test', 'fsdp.py', 'fsdp/iter_20.pth', '--work-dir', 'fsdp_tested'],
)):
    name = f'flexible_{number}'
    options = ['--cfg-options', f'experiment_name={name}', f'visualizer.name={name}']
    code = main([*arguments, '--launcher', 'pytorch', *options])
    if code:
        sys.exit(code)
"""


@pytest.mark.slow
def test_41_42_fsdp_trains_as_ddp(nano, tmp_path):
    """Losses of two processes are equal over 20 steps; DDP is resumed, both are tested."""
    for name, strategy in (('ddp', "dict(type='DDPStrategy')\n"), ('fsdp', SHARDED)):
        nano(f'{FLEXIBLE}{strategy}', header=TWENTY).rename(tmp_path / f'{name}.py')
    (tmp_path / 'run_all.py').write_text(RUN_ALL)
    run_two_processes(tmp_path)
    first, second = (losses(tmp_path / name) for name in ('ddp', 'fsdp'))
    assert list(first) == list(second) == list(range(1, 21))
    assert list(first.values()) == pytest.approx(list(second.values()), rel=1e-5)
    assert list(losses(tmp_path / 'ddp_resumed')) == list(range(11, 21))
    assert 'optimizer' not in torch.load(tmp_path / 'fsdp/iter_20.pth', weights_only=False)
    assert 'entity/APe' in metrics(tmp_path / 'fsdp_tested')


def test_42_fsdp_is_not_resumed_on_cpus(nano, monkeypatch):
    """Documented as impossible: PyTorch gathers the state of the optimizer wrongly there."""
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    message = refusal('train', nano(f'{FLEXIBLE}{SHARDED}'), '--resume')
    assert 'under FSDPStrategy a training cannot be resumed on CPUs' in message


def test_42_gradients_of_parts_are_clipped_by_the_norm_of_all(monkeypatch):
    whole = torch.tensor([3.0, 4.0, 12.0])
    norm = whole.norm()
    for own, other in ((whole[:2], whole[2:]), (whole[2:], whole[:2])):
        sum_of_other = other.square().sum()
        monkeypatch.setattr(
            'mmentity.engine.sharded.all_reduce', lambda value, more=sum_of_other: value.add_(more)
        )
        part = own.clone().requires_grad_()
        part.grad = own.clone()
        optimizer = torch.optim.SGD([part], lr=1.0)
        wrapper = ShardedOptimWrapper(optimizer, clip_grad=dict(max_norm=1.0))
        wrapper._clip_grad()
        assert torch.allclose(part.grad, own / norm)
        logged = wrapper.message_hub.get_scalar('train/grad_norm').current()
        assert logged == pytest.approx(float(norm))
    with pytest.raises(ValueError, match='sharded gradients are clipped by max_norm'):
        ShardedOptimWrapper(optimizer, clip_grad=dict(clip_value=1.0, type='value'))._clip_grad()


def test_48_mim_download_has_no_weights_to_fetch(tmp_path, monkeypatch):
    """Documented as impossible: mim asks for weights that a package hosts, mmentity has none."""
    # as above, mim is to find the package and not the checkout
    monkeypatch.setattr(sys, 'path', [path for path in sys.path if Path(path).resolve() != ROOT])
    with pytest.raises(KeyError, match='weight'):
        download('mmentity', ['cropformer_swin-t_3x'], str(tmp_path))
    assert "`KeyError: 'weight'`" in (ROOT / 'docs/configs.md').read_text()


class TestWithoutAClone:
    def test_50_base_of_the_package(self, tmp_path):
        path = tmp_path / 'mine.py'
        path.write_text(
            "_base_ = 'mmentity::demo/cropformer_swin-nano_demo.py'\n"
            'train_dataloader = dict(batch_size=3)\n'
        )
        config = Config.fromfile(path)
        assert config.train_dataloader.batch_size == 3
        register_all_modules(init_default_scope=True)
        model = MODELS.build(config.model)
        assert type(model).__name__ == 'CropFormer'

    def test_50_base_by_its_path(self, tmp_path):
        path = tmp_path / 'mine.py'
        path.write_text("_base_ = __import__('mmentity').config_path('cropformer_swin-t_3x')\n")
        assert Config.fromfile(path).model.type == 'mmentity.CropFormer'

    def test_50_config_by_name(self):
        config = mmentity.get_config('cropformer_swin-t_3x')
        assert config.model.type == 'mmentity.CropFormer'
        assert Path(config.filename).is_file()
        with pytest.raises(FileNotFoundError, match='similar: cropformer_swin-t_3x'):
            mmentity.get_config('cropformer_swin_3x')

    def test_50_configs_are_listed(self, capsys):
        assert main(['configs', 'swin-t', 'lr']) == 0
        assert capsys.readouterr().out.split() == [
            'cropformer_swin-t_3x_lr.py',
            'mask2former_swin-t_3x_lr.py',
        ]

    def test_50_a_config_is_copied_with_its_bases(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert main(['configs', 'copy', 'cropformer_swin-t_3x_lr.py', 'mine']) == 0
        path = Path(capsys.readouterr().out.strip())
        assert path == Path('mine/cropformer_swin-t_3x_lr.py')
        copied = Config.fromfile(path)
        shipped = Config.fromfile(CONFIGS / 'cropformer_swin-t_3x_lr.py')
        assert copied.to_dict() == shipped.to_dict()
        # again, as long as nothing was changed
        assert main(['configs', 'copy', 'cropformer_swin-t_3x', 'mine']) == 0
        base = tmp_path / 'mine/_base_/default_runtime.py'
        base.write_text(base.read_text() + '# mine\n')
        assert main(['configs', 'copy', 'cropformer_swin-t_3x', 'mine']) == 2
        assert 'default_runtime.py is there and differs' in capsys.readouterr().err
        assert base.read_text().endswith('# mine\n')

    def test_50_copy_wants_a_name(self, capsys):
        assert main(['configs', 'copy']) == 2
        assert 'copy wants the name of a config' in capsys.readouterr().err
