"""Nano configs on the demo data, and mmdet's tools, run in this process."""

import contextlib
import io
import itertools
import runpy
import sys
from pathlib import Path
from unittest import mock

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from mmentity.cli import main
from tests.conftest import ROOT

MMDET_TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'
CONFIGS = {
    'entity': 'cropformer_swin-nano_demo.py',
    'instance': 'mask2former_swin-nano_demo_instance.py',
    'semantic': 'mask2former_swin-nano_demo_semantic.py',
    'panoptic': 'mask2former_swin-nano_demo_panoptic.py',
}
RUNS = itertools.count()


class Nano:
    """A nano model of one task, with random weights, at a short side of 64.

    Attributes:
        config: Path of its config.
        weights: Path of its weights.
        folder: Where its runs write.
    """

    def __init__(self, task, demo_root, folder, **options):
        self.task = task
        self.folder = folder
        config = Config.fromfile(ROOT / 'configs/demo' / CONFIGS[task])
        if task == 'entity':
            config.visualizer.texts = 'score'
        for split in ('train', 'val', 'test'):
            loader = config[f'{split}_dataloader']
            loader.update(num_workers=0, persistent_workers=False)
            loader.batch_size = 1
            loader.dataset.data_root = f'{demo_root}/'
            for step in loader.dataset.pipeline:
                if step.type == 'mmentity.ResizeViews':
                    step.short_side = 64
        for name in ('val_evaluator', 'test_evaluator'):
            if 'ann_file' in config[name]:
                ann_file = config.val_dataloader.dataset.ann_file
                config[name].ann_file = f'{demo_root}/{ann_file}'
        config.model.train_cfg.num_points = 128
        if task == 'panoptic':
            config.model.test_cfg.object_mask_thr = 0.0
            config.model.test_cfg.iou_thr = 0.0
        config.merge_from_dict(options)
        self.config = str(folder / f'{task}.py')
        config.dump(self.config)
        self.weights = str(folder / f'{task}.pth')
        register_all_modules(init_default_scope=True)
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        with torch.no_grad():
            # masks that differ
            model.panoptic_head.mask_embed[-1].weight.mul_(20)
        torch.save({'state_dict': model.state_dict()}, self.weights)

    def build(self):
        """Build the model and load its weights."""
        register_all_modules(init_default_scope=True)
        model = MODELS.build(Config.fromfile(self.config).model)
        model.load_state_dict(torch.load(self.weights, weights_only=True)['state_dict'])
        return model.eval()

    def test(self, *options):
        """Run ``mmentity test``; returns its work directory."""
        return self._run(lambda arguments: mmentity('test', *arguments), options)

    def mmdet_test(self, *options):
        """Run mmdet's ``test.py``; returns its work directory."""
        return self._run(lambda arguments: mmdet_tool('test', *arguments), options)

    def _run(self, run, options):
        name = f'run_{next(RUNS)}'
        work_dir = self.folder / name
        run((self.config, self.weights, '--work-dir', work_dir, *options, *named(name)))
        return work_dir


def named(name):
    """Options by which runs of one process do not share mmengine's global instances."""
    return ('--cfg-options', f'experiment_name={name}', f'visualizer.name={name}')


def mmentity(*arguments):
    """Run a command that has to succeed; returns what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    assert code == 0, err.getvalue()
    return out.getvalue()


def refusal(*arguments):
    """Run a command that has to end with 2; returns its message."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert main([str(argument) for argument in arguments]) == 2
    message = err.getvalue().strip()
    assert 'Traceback' not in message
    return message.splitlines()[-1]


def mmdet_tool(name, *arguments):
    """Run one of the tools that mmdet ships; returns what it prints."""
    path = MMDET_TOOLS / f'{name}.py'
    if not path.is_file():
        pytest.skip('this mmdet ships no tools')
    out = io.StringIO()
    argv = [str(path), *map(str, arguments)]
    with mock.patch.object(sys, 'argv', argv), contextlib.redirect_stdout(out):
        runpy.run_path(str(path), run_name='__main__')
    return out.getvalue()
