"""The stand-in for mmcv's compiled module, with an mmcv made up in a folder."""

import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT

OPS = """
    import importlib
    _ext = importlib.import_module('mmcv._ext')
    assert hasattr(_ext, 'nms')
"""


@pytest.fixture
def mmcv(tmp_path):
    """A package with ops that ask for the compiled module as mmcv's do."""
    package = tmp_path / 'mmcv'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'ops.py').write_text(textwrap.dedent(OPS))
    return package


def run(folder, code):
    path = f'import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]\n'
    return subprocess.run(
        [sys.executable, '-c', path + textwrap.dedent(code)], capture_output=True, text=True
    )


def test_ops_import_without_the_compiled_module(mmcv):
    done = run(
        mmcv.parent,
        """
        import importlib.util, pkgutil
        import mmentity
        import mmcv.ops
        assert mmcv.__file__.startswith(sys.path[0])
        assert mmcv._ext.__mmentity_stand_in__
        assert importlib.util.find_spec('mmcv._ext').loader is mmcv._ext.__loader__
        assert not hasattr(mmcv._ext, '__path__')
        """,
    )
    assert done.returncode == 0, done.stderr


def test_a_called_op_names_itself_and_the_command(mmcv):
    done = run(mmcv.parent, 'import mmentity, mmcv._ext\nmmcv._ext.nms([], iou_threshold=0.5)')
    last = done.stderr.splitlines()[-1]
    assert last.startswith('mmentity.utils.mmcv_ops.CompiledOpError: nms is a compiled op')
    assert 'MMCV_WITH_OPS=1 pip install --no-build-isolation' in last


def test_the_true_module_goes_first(mmcv):
    (mmcv / '_ext.py').write_text('nms = "true"')
    done = run(mmcv.parent, "import mmentity, mmcv.ops\nassert mmcv._ext.nms == 'true'")
    assert done.returncode == 0, done.stderr


def test_a_broken_module_is_not_hidden(mmcv):
    (mmcv / '_ext.py').write_text('raise ImportError("undefined symbol")')
    done = run(mmcv.parent, 'import mmentity, mmcv.ops')
    assert done.stderr.splitlines()[-1] == 'ImportError: undefined symbol'


def test_other_modules_are_missed_as_before(mmcv):
    done = run(mmcv.parent, 'import mmentity, mmcv.nothing')
    assert done.stderr.splitlines()[-1].startswith('ModuleNotFoundError')


def test_the_finder_is_added_once(mmcv):
    done = run(
        mmcv.parent,
        """
        import mmentity
        from mmentity.utils.mmcv_ops import install_stand_in
        before = len(sys.meta_path)
        install_stand_in()
        assert len(sys.meta_path) == before
        """,
    )
    assert done.returncode == 0, done.stderr
