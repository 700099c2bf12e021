"""The notebook for Colab, run cell by cell with two iterations; all but its installation."""

import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import ROOT

NOTEBOOK = ROOT / 'docs' / 'tutorials' / 'colab.ipynb'
CELLS = json.loads(NOTEBOOK.read_text())['cells']


def as_python(cell):
    """Turn the commands of the shell in a cell into Python."""
    lines = [
        f'__import__("subprocess").run(f"""{line[1:]}""", shell=True, check=True)\n'
        if line.startswith('!')
        else line
        for line in cell['source']
    ]
    return ''.join(lines)


def test_cells_run_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv('MMENTITY_NOTEBOOK_ITERATIONS', '2')
    monkeypatch.setenv('MMENTITY_NOTEBOOK_IMAGES', '6')
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    # the command of this environment
    monkeypatch.setenv(
        'PATH', os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    )
    monkeypatch.setenv('MPLBACKEND', 'agg')
    monkeypatch.chdir(tmp_path)
    space = {'__name__': 'notebook'}
    for cell in CELLS:
        if cell['cell_type'] == 'code' and cell['id'] != 'install':
            exec(compile(as_python(cell), f'cell {cell["id"]}', 'exec'), space)
    result = space['result']
    assert result.entity_map.shape == result.image.shape[:2]
    (ids,) = (tmp_path / 'maps' / 'idmap').rglob('*.png')
    assert np.asarray(Image.open(ids)).shape == result.entity_map.shape
    log = next((tmp_path / 'work_dirs/fine_tune').glob('*/*.log')).read_text()
    assert 'association' in log  # named as what starts anew


def test_it_is_stored_without_outputs():
    assert [
        cell['id'] for cell in CELLS if cell.get('outputs') or cell.get('execution_count')
    ] == []
    assert len({cell['id'] for cell in CELLS}) == len(CELLS)
