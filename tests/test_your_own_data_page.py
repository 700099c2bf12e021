"""The page on own data, run as it stands, on few small images."""

import os
import re
import subprocess
import sys

from mmengine.config import Config

from mmentity.preparation.synthetic import DemoOptions, make_demo_data
from tests.cli.test_tools import options
from tests.conftest import ROOT

PAGE = (ROOT / 'docs/your_own_data.md').read_text()


def block(name):
    """A code block of the page by the file name in its first line."""
    return re.search(rf'```python\n# {name}\n(.*?)```', PAGE, re.DOTALL).group(1)


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
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
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
    assert list((tmp_path / 'work_dirs/mine').glob('best_entity_APe_iter_*.pth'))
    dataset = Config.fromfile(tmp_path / 'mine.py').train_dataloader.dataset
    assert dataset.type == 'mmentity.EntityFolderDataset'
