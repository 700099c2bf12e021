"""What users meet before any model: import, registries, wheel, dependencies."""

import subprocess
import sys
import zipfile

import pytest

from mmentity.utils import dependencies
from tests.conftest import ROOT


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
        f'from {scope}.registry import {registry}\n'
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
    assert 'mmentity/apis/web/view.js' in names
    assert {'mmentity/.mim/model-index.yml', 'mmentity/.mim/configs/metafile.yml'} <= set(names)
    assert not any(name.startswith('tests') for name in names)


def test_a_missing_package_ends_with_a_sentence(monkeypatch):
    monkeypatch.setattr(dependencies, 'find_spec', lambda module: None)
    with pytest.raises(ImportError, match='needs torch >= 2.0, none is there; run: pip install'):
        dependencies.check_dependencies()


def test_an_old_package_ends_with_a_sentence(monkeypatch):
    monkeypatch.setattr(dependencies, '_version', lambda names: '2.28.2')
    with pytest.raises(ImportError, match=r'needs mmdet >= 3.3, found 2.28.2; run: pip install'):
        dependencies.check_dependencies()


def test_mmcv_without_ops_ends_with_a_sentence(monkeypatch):
    monkeypatch.setattr(dependencies, '_has_compiled_ops', lambda package: False)
    with pytest.raises(ImportError, match='compiled ops of mmcv, found mmcv .* without them; run'):
        dependencies.check_dependencies()
