"""The program behind `make demo`, on few small images and iterations."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from dataclasses import asdict

import pytest
from PIL import Image

from mmentity.preparation.synthetic import DemoOptions, make_demo_data
from tests.conftest import ROOT

STAGES = runpy.run_path(str(ROOT / 'tools/demo_stages.py'))
FIRST = 'mask2former_swin-nano_demo'
SECOND = ('mask2former_swin-nano_demo_finetune', 'cropformer_swin-nano_demo')
TINY = """
_base_ = '{base}'
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=2, **loader)
val_dataloader = dict(**loader)
test_dataloader = dict(**loader)
model = dict(train_cfg=dict(num_points=128))
train_cfg = dict(max_iters=4, val_interval=4)
param_scheduler = [
    dict(type='OneCycleLR', eta_max=1e-4, total_steps=4, begin=0, end=4, by_epoch=False)
]
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with tiny configs by the names of the demo's, and small demo data."""
    (tmp_path / 'configs/demo').mkdir(parents=True)
    for name in (FIRST, *SECOND):
        path = f'configs/demo/{name}.py'
        (tmp_path / path).write_text(TINY.format(base=ROOT / path))
    root = make_demo_data(tmp_path / 'data/entityseg_demo', DemoOptions(6, 3, 96, 128, (4, 6)))
    (root / 'demo.json').write_text(json.dumps(asdict(DemoOptions())))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def demo(folder):
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools/demo.py'), 'Mask2Former', 'CropFormer', 'whole-image'],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
    )


@pytest.mark.slow
def test_from_nothing_to_the_table_and_again(folder):
    done = demo(folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for number, title in enumerate(
        ('Mask2Former from nothing', 'Mask2Former from it', 'CropFormer from it'), start=1
    ):
        assert re.search(rf'stage {number} of 3, {title}: iteration 4 of 4, loss .*', done.stdout)
    assert re.search(r'0 min for all; .*, 0 min left', done.stdout)
    table = [line.split('|')[1].strip() for line in done.stdout.splitlines() if '|' in line]
    assert table[-4:] == [
        'demo validation set, entity, %',
        'Mask2Former',
        'CropFormer',
        'whole-image',
    ]
    for name in SECOND:
        log = (folder / 'work_dirs' / name / 'output.txt').read_text()
        assert f'Load checkpoint from work_dirs/{FIRST}/iter_4.pth' in log
    with Image.open(folder / 'work_dirs/demo/comparison.jpg') as sheet:
        assert sheet.width == 4 * 128
    assert (folder / 'work_dirs/demo/curves.png').is_file()

    # what is finished is not done again, and an interrupted stage goes on where it was
    last = folder / 'work_dirs' / SECOND[1]
    (last / 'iter_4.pth').unlink()
    (last / 'last_checkpoint').write_text(str(last / 'iter_2.pth'))
    again = demo(folder)
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-2000:]
    assert again.stdout.count(': finished in work_dirs/') == 2
    assert 'resumed epoch: 0, iter: 2' in (last / 'output.txt').read_text()

    # other settings are no continuation
    config = folder / f'configs/demo/{SECOND[1]}.py'
    config.write_text(config.read_text().replace('eta_max=1e-4', 'eta_max=2e-4'))
    refused = demo(folder)
    assert refused.returncode == 1
    assert 'was trained with other settings (param_scheduler); remove it' in refused.stderr


def test_stages_come_after_those_that_they_begin_with():
    assert [stage.config for stage in STAGES['stages_of']([SECOND[1]])] == [FIRST, SECOND[1]]
    assert STAGES['stages_of']([]) == []


def test_progress_tells_the_time_left(folder):
    first, plain, crops = stages = STAGES['stages_of'](SECOND)
    # 2 of 4 iterations of a minute; then 4 that take 1 and 2.1 minutes, side by side or in turn
    rows = {first: {'step': 2, 'time': 60.0, 'loss': 3.14159}}
    text = STAGES['progress'](stages, rows, [plain, crops], 2)
    assert text == (
        '10.5 min for all; stage 1 of 3, Mask2Former from nothing: iteration 2 of 4, '
        'loss 3.14, 2 min left'
    )
    assert STAGES['progress'](stages, rows, [plain, crops], 1).startswith('14.5 min for all')
    rows = {stage: {'step': 3, 'time': 60.0 * stage.cost, 'loss': 1.0} for stage in (plain, crops)}
    text = STAGES['progress'](stages, rows, [], 2)
    assert text.startswith('2.5 min for all; stage 2 of 3')
    assert 'stage 3 of 3' in text


def test_a_failure_ends_those_that_run_beside_it(folder, monkeypatch):
    """The one that fails is named, and what runs beside it is interrupted, not left behind."""
    started = []

    def launch(arguments, log, title, **env):
        endless = SECOND[0] in arguments[1]
        code = 'import time; time.sleep(600)' if endless else 'raise SystemExit("no such file")'
        log.parent.mkdir(parents=True)
        with log.open('w') as output:
            started.append(subprocess.Popen([sys.executable, '-c', code], stderr=output))
        return started[-1]

    monkeypatch.setitem(STAGES['train'].__globals__, '_launch', launch)
    (folder / f'work_dirs/{FIRST}').mkdir(parents=True)
    (folder / f'work_dirs/{FIRST}/iter_4.pth').touch()
    message = '^no such file\nstage 3 of 3, CropFormer from it failed; its output is in work_dirs'
    with pytest.raises(SystemExit, match=message):
        STAGES['train'](STAGES['stages_of'](SECOND), together=2)
    assert [process.returncode for process in started] == [-signal.SIGTERM, 1]


def test_other_weights_than_those_of_the_first_stage_are_refused(folder):
    first, second = (folder / 'work_dirs' / name for name in (FIRST, SECOND[1]))
    for path in (second / f'{SECOND[1]}.py', first / 'iter_4.pth'):
        path.parent.mkdir(parents=True)
        path.write_text((folder / f'configs/demo/{SECOND[1]}.py').read_text())
    os.utime(second / f'{SECOND[1]}.py', (1, 1))
    with pytest.raises(SystemExit, match='is older than work_dirs/mask2former'):
        STAGES['check_work_dir'](STAGES['STAGES'][SECOND[1]])
