"""One cause and one command for each way in which an environment can be broken."""

import os
import subprocess
import sys
from pathlib import Path

import packaging
import pytest

from mmentity.cli.diagnosis import Probe, diagnose
from mmentity.utils import dependencies
from tests.conftest import ROOT

SOUND = {
    'torch': '2.9.1', 'torchvision': '0.24.1', 'numpy': '2.4.6', 'scipy': '1.16.3',
    'pillow': '12.0.0', 'opencv-python-headless': '4.12.0.88', 'matplotlib': '3.10.7',
    'pycocotools': '2.0.11', 'rich': '15.0.0', 'safetensors': '0.8.0',
    'terminaltables': '3.1.10', 'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0', 'mmdet': '3.3.0', 'mmpretrain': '1.2.0', 'mmsegmentation': '1.2.2',
    'panopticapi-lite': '0.2.0', 'huggingface-hub': '2.4.0',
    'starlette': '1.0.0', 'uvicorn': '0.54.0', 'onnxruntime': '1.32.0', 'onnx': '1.23.2',
    'onnxscript': '0.7.2', 'open-clip-torch': '3.3.0', 'pyarrow': '20.0.0',
}  # fmt: skip
FORKS = {
    **{name: v for name, v in SOUND.items() if not name.startswith('mm')},
    'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1',
    'onedl-mmpretrain': '1.3.6', 'onedl-mmsegmentation': '1.4.2',
}  # fmt: skip
ON_CPU = Probe({}, {'cpu': '2 threads'}, {})
NO_MODULE = "ModuleNotFoundError: No module named '{}'"


@pytest.fixture(autouse=True)
def nothing_without_a_distribution(monkeypatch):
    monkeypatch.setattr(dependencies, 'find_spec', lambda module: None)


def without(*names, **more):
    kept = {name: version for name, version in SOUND.items() if name not in names}
    return {**kept, **{name.replace('_', '-'): version for name, version in more.items()}}


def failing(*modules, error='ImportError: broken'):
    return ON_CPU._replace(errors={module: error for module in modules})


@pytest.mark.parametrize('installed', [SOUND, FORKS, without('mmcv-lite', mmcv='2.1.0')])
def test_a_sound_environment_has_no_problem(installed):
    diagnosis = diagnose(installed, ON_CPU)
    assert (diagnosis.problems, diagnosis.missing, diagnosis.usable) == ([], {}, True)
    assert diagnosis.versions.keys() == {package.module for package in dependencies.PACKAGES}


LITE = 'pip install --no-deps "mmcv-lite==2.1.0"'
OPENCV = (
    'pip uninstall -y opencv-python-headless opencv-python && pip install opencv-python-headless'
)
BROKEN = {
    'no torch': (
        without('torch', 'torchvision'),
        failing(
            'mmentity.registry', 'torch', 'torchvision', 'mmengine', 'mmentity.apis.torch_backend'
        ),
        'torch >= 2.1, none is installed',
        'pip install torch torchvision',
    ),
    'no mmcv': (
        without('mmcv-lite'),
        failing('mmcv', 'mmdet'),
        'mmcv >= 2.0, none is installed',
        LITE,
    ),
    'no mmdet': (
        without('mmdet'),
        failing('mmdet', 'mmentity.apis.torch_backend'),
        'mmdet >= 3.3, none is installed',
        'pip install "mmdet==3.3.0"',
    ),
    'mmcv 2.2.0': (
        without('mmcv-lite', mmcv='2.2.0'),
        failing(
            'mmdet',
            'mmseg',
            'mmentity.apis.torch_backend',
            error='AssertionError: MMCV==2.2.0 is used',
        ),
        'mmcv < 2.2 for mmdet 3.3.0, found mmcv 2.2.0',
        f'pip uninstall -y mmcv && {LITE}',
    ),
    'mmcv of a fork': (
        without('mmcv-lite', onedl_mmcv='2.3.6'),
        failing('mmdet', error='AssertionError: MMCV==2.3.6 is used'),
        'mmcv < 2.2 for mmdet 3.3.0, found onedl-mmcv 2.3.6',
        f'pip uninstall -y onedl-mmcv && {LITE}',
    ),
    'two OpenCVs, one of them broken': (
        without(opencv_python='4.12.0.88'),
        failing('cv2', 'mmcv', 'mmdet', error='ImportError: libGL.so.1: cannot open'),
        'opencv-python-headless and opencv-python are both installed',
        OPENCV,
    ),
    'OpenCV without a screen': (
        without('opencv-python-headless', opencv_python='4.12.0.88'),
        failing('cv2', 'mmcv', error='ImportError: libGL.so.1: cannot open'),
        'cv2 cannot be imported: ImportError: libGL.so.1',
        'pip install opencv-python-headless',
    ),
    'mmcv and mmcv-lite': (
        without(mmcv='2.1.0'),
        failing('mmcv.ops'),
        'mmcv and mmcv-lite are both installed',
        f'pip uninstall -y mmcv mmcv-lite && {LITE}',
    ),
    'an old mmdet': (
        without(mmdet='2.28.2'),
        failing('mmdet'),
        'mmdet >= 3.3, found 2.28.2',
        'pip install --upgrade "mmdet==3.3.0"',
    ),
    'a dependency of a dependency': (
        SOUND,
        failing('mmengine', 'mmcv', 'mmdet', error=NO_MODULE.format('yaml')),
        "mmengine cannot be imported: ModuleNotFoundError: No module named 'yaml'",
        'pip install pyyaml',
    ),
    'ops for another PyTorch': (
        without('mmcv-lite', mmcv='2.1.0'),
        failing('mmcv.ops', 'mmdet', error='ImportError: undefined symbol: _ZN3c10'),
        'mmcv.ops cannot be imported',
        f'pip uninstall -y mmcv && {LITE}',
    ),
    'torchvision for another PyTorch': (
        SOUND,
        failing('torchvision', error='RuntimeError: operator torchvision::nms does not exist'),
        'torchvision cannot be imported',
        'pip install --force-reinstall torch torchvision',
    ),
    'a library that ends the process': (
        SOUND,
        failing('pycocotools.mask', error='ended the process with -11'),
        'pycocotools.mask cannot be imported: ended the process with -11',
        'pip install --force-reinstall --no-deps pycocotools',
    ),
}


@pytest.mark.parametrize('name', BROKEN)
def test_one_cause_and_one_command(name):
    installed, probe, cause, command = BROKEN[name]
    diagnosis = diagnose(installed, probe)
    assert len(diagnosis.problems) == 1
    problem = diagnosis.problems[0]
    assert problem.cause.startswith(cause)
    assert problem.command.endswith(command)
    assert problem.blocking
    assert not diagnosis.usable


def test_two_opencvs_that_work_are_a_warning():
    diagnosis = diagnose(without(opencv_python='4.12.0.88'), ON_CPU)
    assert [problem.command for problem in diagnosis.problems] == [OPENCV]
    assert diagnosis.usable


def test_features_name_the_command_that_brings_them():
    diagnosis = diagnose(without('panopticapi-lite', 'uvicorn', 'mmsegmentation'), ON_CPU)
    assert diagnosis.usable
    assert diagnosis.missing == {
        'semantic segmentation': 'pip install "mmsegmentation==1.2.2" ftfy regex',
        'PQ of panoptic segmentation': 'pip install --no-deps panopticapi-lite',
        'the page in the browser': 'pip install "mmentity[web]"',
    }


def test_commands_stay_within_the_family_of_the_environment():
    installed = {name: v for name, v in FORKS.items() if name != 'onedl-mmpretrain'}
    problem = diagnose(installed, ON_CPU).problems[0]
    assert problem.command == 'pip install onedl-mmpretrain'


def test_an_optional_package_that_is_broken_does_not_block():
    diagnosis = diagnose(SOUND, failing('mmseg', error=NO_MODULE.format('ftfy')))
    assert [problem.command for problem in diagnosis.problems] == ['pip install ftfy']
    assert diagnosis.usable


def test_a_gpu_that_is_not_used():
    problem = diagnose(SOUND, ON_CPU._replace(has_driver=True)).problems[0]
    assert 'PyTorch sees no GPU' in problem.cause
    on_gpu = Probe({}, {'cpu': '', 'cuda:0': ''}, {}, 'not available', True)
    diagnosis = diagnose(without('mmcv-lite', mmcv='2.1.0'), on_gpu)
    assert 'built without CUDA' in diagnosis.problems[0].cause
    assert diagnosis.usable
    assert diagnose(SOUND, on_gpu._replace(cuda_ops='12.8')).problems == []


def doctor(python):
    return subprocess.run(
        [str(python), '-m', 'mmentity', 'doctor'],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )


def test_the_command_in_this_environment():
    done = doctor(sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Training and prediction run here.' in done.stdout
    assert 'cpu ' in done.stdout


def test_the_command_where_almost_nothing_is_installed(tmp_path):
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'bare'], check=True)
    # what the wheel brings and the table of packages needs
    library = next((tmp_path / 'bare/lib').glob('python*/site-packages'))
    (library / 'packaging').symlink_to(Path(packaging.__file__).parent)
    done = doctor(tmp_path / 'bare/bin/python')
    assert (done.returncode, done.stderr) == (1, '')
    assert 'torch >= 2.1, none is installed\n    pip install torch torchvision\n' in done.stdout
    assert done.stdout.count('pip install torch torchvision') == 1
    assert 'Training and prediction do not run here.' in done.stdout
    done = subprocess.run(
        [tmp_path / 'bare/bin/python', '-m', 'mmentity', 'train', 'a.py'],
        capture_output=True, text=True, env={'PYTHONPATH': str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith('mmentity train: mmentity needs torch')
