"""The pages on own data and on fine-tuning, run as they stand, on few small images."""

import os
import re
import subprocess
import sys

from mmengine.config import Config

from mmentity.preparation.synthetic import DemoOptions, make_demo_data
from tests.cli.test_tools import options
from tests.conftest import ROOT

PAGES = ''.join(
    (ROOT / 'docs' / name).read_text() for name in ('your_own_data.md', 'how_to/fine_tune.md')
)


def block(name):
    """A code block of the pages by the file name in its first line."""
    return re.search(rf'```python\n# {name}\n(.*?)```', PAGES, re.DOTALL).group(1)


def run(folder, *line):
    done = subprocess.run(
        [sys.executable, *map(str, line)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_from_a_folder_to_a_trained_model(tmp_path):
    demo = tmp_path / 'data/entityseg_demo'
    make_demo_data(demo, DemoOptions(6, 3, 96, 128, (4, 6)))
    small = "make_demo_data('data/entityseg_demo')"
    script = block('make_mine.py')
    assert small in script
    (tmp_path / 'make_mine.py').write_text(script.replace(small, repr(str(demo))))
    run(tmp_path, 'make_mine.py')
    (tmp_path / 'mine.py').write_text(block('mine.py'))
    tools = ROOT / 'tools'
    assert '| images' in run(tmp_path, tools / 'analysis_tools/stats.py', 'mine.py')
    out = run(tmp_path, tools / 'analysis_tools/browse_dataset.py', 'mine.py', '--number', 2)
    assert out.count('work_dirs/mine/browse/train/') == 2
    settings = [s for s in options(demo) if 'data_root' not in s]
    run(tmp_path, tools / 'train.py', 'mine.py', *settings)
    (best,) = (tmp_path / 'work_dirs/mine').glob('best_entity_APe_iter_*.pth')
    (tmp_path / 'fine_tune.py').write_text(block('fine_tune.py'))
    schedule = ('param_scheduler.0.end=2', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2')
    settings = [s for s in settings if not s.startswith(('param_scheduler', 'train_cfg'))]
    run(tmp_path, tools / 'train.py', 'fine_tune.py', *settings, *schedule, f'load_from={best}')
    assert (tmp_path / 'work_dirs/fine_tune/iter_2.pth').is_file()
    log = next((tmp_path / 'work_dirs/fine_tune').glob('*/*.log')).read_text()
    assert 'lr: 5.0' in log
    dataset = Config.fromfile(tmp_path / 'mine.py').train_dataloader.dataset
    assert dataset.type == 'mmentity.EntityFolderDataset'
