"""The command lines of training and testing, run as users run them."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from mmengine.utils import digit_version
from PIL import Image
from pycocotools import mask as mask_utils

from mmentity.checkpoints import allow_mmengine_checkpoints
from mmentity.visualization.curves import read_scalars
from tests.conftest import ROOT

CONFIG = str(ROOT / 'configs/demo/cropformer_swin-nano_demo.py')


def options(demo_root, **more):
    """Settings that make the demo config a matter of seconds."""
    values = {
        'train_dataloader.dataset.data_root': demo_root,
        'val_dataloader.dataset.data_root': demo_root,
        'test_dataloader.dataset.data_root': demo_root,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'val_dataloader.num_workers': 0,
        'val_dataloader.persistent_workers': False,
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.pipeline.4.short_side': 64,
        'val_dataloader.dataset.pipeline.2.short_side': 64,
        'test_dataloader.dataset.pipeline.2.short_side': 64,
        'model.train_cfg.num_points': 128,
        'param_scheduler.0.total_steps': 6,
        'param_scheduler.0.end': 6,
        'train_cfg.max_iters': 6,
        'train_cfg.val_interval': 3,
        'default_hooks.checkpoint.interval': 3,
        'default_hooks.logger.interval': 1,
        **more,
    }
    return ['--cfg-options', *(f'{key}={value}' for key, value in values.items())]


def command(tool, *arguments):
    return [sys.executable, str(ROOT / 'tools' / f'{tool}.py'), *map(str, arguments)]


def run(tool, *arguments, launcher=(), **environment):
    line = command(tool, *arguments)
    line = [line[0], *launcher, *line[1:]]
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **environment},
        timeout=600,
    )


def scalars(work_dir):
    """Logged training scalars by iteration, the newest of each."""
    rows = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if 'loss' in row:
                rows[row['step']] = row
    return rows


@pytest.fixture(scope='module')
def trained(demo_root, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('trained')
    done = run('train', CONFIG, '--work-dir', work_dir, *options(demo_root))
    assert done.returncode == 0, done.stderr[-3000:]
    return work_dir, done.stdout + done.stderr


def test_training_leaves_checkpoints_and_curves(trained):
    work_dir, log = trained
    assert (work_dir / 'iter_6.pth').is_file()
    assert list(work_dir.glob('best_entity_APe_iter_*.pth'))
    with Image.open(work_dir / 'curves.png') as curves:
        assert curves.size[0] > 400
    validated = [row['step'] for row in read_scalars(work_dir) if 'entity/APe' in row]
    assert validated == [3, 6]
    assert 'No training sample was skipped' in log
    assert not list(work_dir.glob('*partial*'))


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.6'),
    reason='before torch 2.6 the package reads them with an unpickler of its own',
)
def test_the_safe_loader_reads_mmengine_checkpoints(trained):
    work_dir, _ = trained
    allow_mmengine_checkpoints()
    checkpoint = torch.load(work_dir / 'iter_6.pth', weights_only=True)
    assert checkpoint['meta']['iter'] == 6
    assert 'train/loss' in checkpoint['message_hub']['log_scalars']


def test_a_fixed_seed_gives_the_same_training_twice(trained, demo_root, tmp_path):
    work_dir, _ = trained
    done = run('train', CONFIG, '--work-dir', tmp_path, *options(demo_root))
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = scalars(work_dir), scalars(tmp_path)
    assert [row['loss'] for row in first.values()] == [row['loss'] for row in second.values()]
    weights = [torch.load(d / 'iter_6.pth', weights_only=False) for d in (work_dir, tmp_path)]
    for name, value in weights[0]['state_dict'].items():
        assert torch.equal(value, weights[1]['state_dict'][name]), name


def test_sigkill_and_resume(demo_root, tmp_path):
    """A killed training goes on at its iteration, learning rate and best metric."""
    longer = {
        'train_cfg.max_iters': 9,
        'param_scheduler.0.total_steps': 9,
        'param_scheduler.0.end': 9,
    }
    arguments = (CONFIG, '--work-dir', tmp_path, *options(demo_root, **longer))
    process = subprocess.Popen(
        command('train', *arguments),
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 300
    while 7 not in scalars(tmp_path):
        assert time.time() < deadline
        assert process.poll() is None, 'training ended before it could be killed'
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = scalars(tmp_path)
    done = run('train', arguments[0], '--resume', *arguments[1:])
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r'resumed? epoch: 0, iter: 6', done.stdout + done.stderr)
    resumed = scalars(tmp_path)
    assert sorted(resumed) == list(range(1, 10))
    assert resumed[7]['lr'] == killed[7]['lr']
    state = torch.load(tmp_path / 'iter_9.pth', weights_only=False)['message_hub']
    # iteration 3 was validated before the kill; a checkpoint comes before its validation
    history = state['log_scalars']['val/entity/APe'].data[0].tolist()
    assert len(history) == 1
    assert state['runtime_info']['best_score'] == history[0]


@pytest.fixture(scope='module')
def tested(trained, demo_root, tmp_path_factory):
    work_dir, _ = trained
    out = tmp_path_factory.mktemp('tested')
    done = run(
        'test', CONFIG, work_dir / 'iter_6.pth', '--work-dir', out, '--show-dir', 'images',
        '--out', out / 'predictions.pkl', *options(demo_root),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_metrics_come_with_what_produced_them(tested):
    record = json.loads((tested / 'metrics.json').read_text())
    assert set(record) == {'metrics', 'config', 'checkpoint', 'commit', 'versions'}
    assert 0 <= record['metrics']['entity/APe'] <= 100
    assert record['checkpoint'].endswith('iter_6.pth')


def test_out_holds_every_prediction(tested):
    rows = pickle.loads((tested / 'predictions.pkl').read_bytes())
    assert len(rows) == 3
    for row in rows:
        assert tuple(row['ori_shape']) == (96, 128)
        found = row['pred_instances']
        assert len(found['masks']) == len(found['scores']) == len(found['bboxes']) == 30
        assert (np.diff(found['scores']) <= 0).all()
        assert mask_utils.decode(found['masks']).sum(-1).max() <= 1


def test_show_dir_holds_image_ground_truth_and_prediction(tested):
    images = list(tested.glob('*/images/*.jpg'))
    assert len(images) == 3
    with Image.open(images[0]) as sheet:
        assert sheet.size[0] == 3 * 128


TWO = ('-m', 'torch.distributed.run', '--nproc_per_node=2', '--standalone')


def test_two_processes_test_alike(trained, tested, demo_root, tmp_path):
    work_dir, _ = trained
    done = run(
        'test', CONFIG, work_dir / 'iter_6.pth', '--work-dir', tmp_path, '--launcher', 'pytorch',
        *options(demo_root), launcher=TWO,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (
        json.loads((folder / 'metrics.json').read_text())['metrics']
        for folder in (tested, tmp_path)
    )
    # matrix products may differ by rounding between processes, depending on memory alignment
    assert one == pytest.approx(two, abs=0.1)


def test_two_processes_train(demo_root, tmp_path):
    done = run(
        'train', CONFIG, '--work-dir', tmp_path, '--launcher', 'pytorch', '--auto-scale-lr',
        *options(demo_root, **{'auto_scale_lr.base_batch_size': 8}), launcher=TWO,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'iter_6.pth').is_file()
    assert 'Scaling the original LR by 0.5' in done.stdout + done.stderr


def test_amp_trains_on_the_cpu(demo_root, tmp_path):
    more = {'train_cfg.max_iters': 1, 'train_cfg.val_interval': 10}
    done = run('train', CONFIG, '--work-dir', tmp_path, '--amp', *options(demo_root, **more))
    assert done.returncode == 0, done.stderr[-3000:]
    assert np.isfinite(scalars(tmp_path)[1]['loss'])


def test_skipped_samples_are_reported(demo_root, tmp_path):
    ann = 'annotations/entity_segmentation/entityv2_01_entity_train.json'
    content = json.loads((demo_root / ann).read_text())
    content['images'][0]['file_name'] = 'lost.jpg'
    (tmp_path / 'broken.json').write_text(json.dumps(content))
    more = {
        'train_dataloader.dataset.ann_file': tmp_path / 'broken.json',
        'train_cfg.max_iters': 2,
        'train_cfg.val_interval': 10,
    }
    done = run('train', CONFIG, '--work-dir', tmp_path, *options(demo_root, **more))
    assert done.returncode == 0, done.stderr[-3000:]
    log = done.stdout + done.stderr
    assert 'A training sample is skipped: ' in log
    counts = json.loads((tmp_path / 'skipped_samples.json').read_text())
    assert len(counts) == 1
    message, count = next(iter(counts.items()))
    assert 'lost.jpg' in message
    assert f'1 training samples were skipped {count} times' in log


def test_a_bad_image_stops_a_test_by_name(trained, demo_root, tmp_path):
    work_dir, _ = trained
    ann = 'annotations/entity_segmentation/entityv2_010203_entity_val.json'
    content = json.loads((demo_root / ann).read_text())
    content['images'][1]['file_name'] = 'lost.jpg'
    (tmp_path / 'broken.json').write_text(json.dumps(content))
    more = {'test_dataloader.dataset.ann_file': tmp_path / 'broken.json'}
    done = run('test', CONFIG, work_dir / 'iter_6.pth', '--work-dir', tmp_path,
               *options(demo_root, **more))  # fmt: skip
    assert done.returncode != 0
    assert 'lost.jpg cannot be read' in done.stderr


def test_wrong_arguments_end_with_a_message(tmp_path):
    done = run('train', 'configs/nothing.py')
    assert done.returncode == 2
    assert done.stderr.startswith("mmentity train: there is no config 'configs/nothing.py'")
    done = run('train', CONFIG, '--auto-scale-lr', '--work-dir', tmp_path)
    assert done.returncode == 2
    assert 'has no auto_scale_lr.base_batch_size' in done.stderr
    done = run('test', CONFIG, 'a.pth', '--out', 'a.json')
    assert done.returncode == 2
    assert '--out must end in .pkl' in done.stderr
