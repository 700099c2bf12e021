"""What users meet before any model: import, registries, wheel, what pip would install."""

import json
import re
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement

from mmentity.utils.dependencies import PACKAGES
from tests.conftest import IMPORT_FIRST, ROOT


def run(code):
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT.parent
    )


def test_import_is_light():
    done = run(
        'import sys, mmentity\n'
        'heavy = {"torch", "mmcv", "mmdet", "mmengine", "numpy", "cv2"} & set(sys.modules)\n'
        'assert not heavy, heavy'
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ('scope', 'registry', 'name'),
    [
        ('mmdet', 'MODELS', 'CropFormer'),
        ('mmdet', 'DATASETS', 'EntitySegDataset'),
        ('mmdet', 'TRANSFORMS', 'CropViews'),
        ('mmdet', 'METRICS', 'EntityMetric'),
        ('mmdet', 'VISUALIZERS', 'EntityVisualizer'),
        ('mmdet', 'HOOKS', 'SafeCheckpointHook'),
        ('mmseg', 'MODELS', 'CropFormerHead'),
        ('mmseg', 'TRANSFORMS', 'LoadEntityAnnotations'),
    ],
)
def test_types_resolve_without_an_import(scope, registry, name):
    done = run(
        f'{IMPORT_FIRST}from {scope}.registry import {registry}\n'
        f'assert {registry}.get("mmentity.{name}").__name__ == "{name}"'
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_carries_configs_tools_and_tables(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '-q',
         '-w', str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(next(tmp_path.glob('*.whl'))).namelist()
    for folder, target in (('configs', 'configs'), ('tools', 'tools')):
        for path in (ROOT / folder).rglob('*.py'):
            assert f'mmentity/.mim/{target}/{path.relative_to(ROOT / folder)}' in names
    assert 'mmentity/datasets/categories/entity.csv' in names
    assert 'mmentity/apis/export/contact_sheet.html' in names
    assert 'mmentity/apis/export/preset_files/gaga.yaml' in names
    assert 'mmentity/checkpoints/model_cards/entity.md' in names
    assert 'mmentity/apis/web/static/page.js' in names
    assert {'mmentity/.mim/model-index.yml', 'mmentity/.mim/configs/metafile.yml'} <= set(names)
    assert not any(name.startswith('tests') for name in names)


@pytest.fixture(scope='module')
def planned():
    """What pip would install into this environment, and the metadata of it."""
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--dry-run', '--quiet', '--report', '-',
         '--no-index', '--no-build-isolation', '--force-reinstall', '--no-deps', str(ROOT)],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (item,) = json.loads(done.stdout)['install']
    return item['metadata']


def test_pip_installs_nothing_over_an_environment():
    """Without an index, so a requirement that is not there would be an error."""
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--dry-run', '--quiet', '--report', '-',
         '--no-index', '--no-build-isolation', str(ROOT)],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = [item['metadata']['name'] for item in json.loads(done.stdout)['install']]
    assert names in ([], ['mmentity'])


def test_no_requirement_names_what_has_forks_or_builds(planned):
    required = [Requirement(text) for text in planned['requires_dist']]
    always = {r.name for r in required if r.marker is None}
    openmmlab = {name for p in PACKAGES if p.fork for name in p.distributions}
    assert not always & {*openmmlab, 'torch', 'torchvision', 'opencv-python'}
    extras = {
        extra: {r.name for r in required if r.marker and r.marker.evaluate({'extra': extra})}
        for extra in ('all', 'openmmlab', 'onedl')
    }
    assert {'torch', 'mmcv-lite', 'mmdet', 'mmengine', 'starlette', 'uvicorn'} <= extras[
        'all'
    ] - always
    assert not extras['openmmlab'] & extras['onedl'] - always
    assert not any(name.startswith('onedl') for name in extras['all'])


def test_python_versions_are_the_same_everywhere():
    lowest = re.search(r"python_requires='>=(3\.\d+)'", (ROOT / 'setup.py').read_text()).group(1)
    assert f'--python-version {lowest}' in (ROOT / 'Makefile').read_text()
    assert f'Python {lowest}' in (ROOT / 'docs' / 'get_started.md').read_text()
    assert lowest in (ROOT / 'noxfile.py').read_text()


def test_torch_versions_are_the_same_everywhere():
    lowest = next(package.lowest for package in PACKAGES if package.module == 'torch')
    assert f"'torch>={lowest}'" in (ROOT / 'setup.py').read_text()
    assert f'torch {lowest}' in (ROOT / 'docs' / 'get_started.md').read_text()
    assert f'torch=={lowest}' in (ROOT / 'noxfile.py').read_text()
