"""mmpretrain is imported beside every transformers; no transformers is needed to see it."""

import os
import subprocess
import sys

import pytest

from mmentity.utils import mmpretrain_multimodal
from tests.conftest import ROOT

OLDER = 'apply_chunking_to_forward = find_pruneable_heads_and_indices = prune_linear_layer = None\n'


def install(folder, modeling_utils):
    """Put a package of this name on a path, with the version that mmpretrain asks for."""
    package = folder / 'transformers'
    package.mkdir()
    (package / '__init__.py').write_text('')
    (package / 'modeling_utils.py').write_text(modeling_utils)
    metadata = folder / 'transformers-99.0.dist-info'
    metadata.mkdir()
    (metadata / 'METADATA').write_text('Metadata-Version: 2.1\nName: transformers\nVersion: 99.0\n')
    return folder


def test_language_models_that_cannot_be_imported_are_left_out(tmp_path):
    folder = install(tmp_path, 'class PreTrainedModel: pass\n')
    code = (
        'import mmentity\n'
        'from mmdet.utils import register_all_modules\n'
        'register_all_modules()\n'
        'import mmpretrain.models\n'
        'from mmpretrain.registry import MODELS\n'
        'try:\n'
        '    MODELS.build({"type": "mmpretrain.BlipCaption"})\n'
        'except ImportError as error:\n'
        '    print(error)\n'
    )
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get('PYTHONPATH', '')])
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': path},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'requires extra multi-modal dependencies' in done.stdout


@pytest.mark.parametrize(('modeling_utils', 'expected'), [(OLDER, False), ('', True)])
def test_what_a_transformers_has_decides(modeling_utils, expected, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(tmp_path, modeling_utils))
    monkeypatch.delitem(sys.modules, 'transformers', raising=False)
    assert mmpretrain_multimodal.lacks_names() is expected


def test_there_need_be_no_transformers(monkeypatch):
    monkeypatch.setattr(mmpretrain_multimodal, 'find_spec', lambda name: None)
    assert not mmpretrain_multimodal.lacks_names()
