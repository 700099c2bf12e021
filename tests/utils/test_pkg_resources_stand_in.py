"""Bases of other packages are found whether setuptools has pkg_resources or not."""

import os
import subprocess
import sys
from types import ModuleType

import pytest

import mmentity.utils.pkg_resources_stand_in as stand_in
from tests.conftest import ROOT

HIDE = (
    'import sys\n'
    'class Hide:\n'
    '    def find_spec(self, name, path=None, target=None):\n'
    '        if name == "pkg_resources":\n'
    '            from mmentity.utils.pkg_resources_stand_in import _StandInFinder\n'
    '            return _StandInFinder().find_spec(name, path)\n'
    'sys.meta_path.insert(0, Hide())\n'
)


@pytest.mark.parametrize(
    ('base', 'model'),
    [
        ('mmentity::demo/cropformer_swin-nano_demo.py', 'mmentity.CropFormer'),
        ('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', 'Mask2Former'),
        ('mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py', 'EncoderDecoder'),
    ],
)
def test_base_of_a_package_without_pkg_resources(base, model, tmp_path):
    (tmp_path / 'mine.py').write_text(f'_base_ = {base!r}\n')
    code = (
        f'{HIDE}import mmentity\n'
        'from mmengine.config import Config\n'
        'config = Config.fromfile("mine.py")\n'
        f'assert config.model.type == {model!r}, config.model.type\n'
        'assert sys.modules["pkg_resources"].__mmentity_stand_in__\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_true_module_goes_first(tmp_path):
    (tmp_path / 'pkg_resources.py').write_text('')
    code = 'import mmentity, pkg_resources; print(pkg_resources.__file__)'
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(tmp_path), str(ROOT)])},
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / 'pkg_resources.py'), done.stderr


def test_a_distribution_that_is_not_there():
    with pytest.raises(stand_in.DistributionNotFound, match='no-such-thing'):
        stand_in.get_distribution('no-such-thing')


def test_others_find_no_pkg_resources():
    """Packages that can do without it try, and catch an ImportError."""
    module = ModuleType('pkg_resources')
    stand_in._StandInFinder().exec_module(module)
    with pytest.raises(ImportError, match="No module named 'pkg_resources'"):
        module.declare_namespace('google')
    assert not hasattr(module, '__path__')


def test_pytest_finds_what_it_asks_for(monkeypatch, tmp_path):
    module = ModuleType('pkg_resources')
    stand_in._StandInFinder().exec_module(module)
    monkeypatch.setitem(sys.modules, 'pkg_resources', module)
    monkeypatch.syspath_prepend(tmp_path)
    assert sys.path[0] == str(tmp_path)
