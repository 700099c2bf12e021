"""The check of what is installed, on made-up environments."""

from importlib import metadata

import pytest

from mmentity.utils import dependencies
from mmentity.utils.dependencies import (
    OPENCV,
    PACKAGES,
    check_dependencies,
    compiled_ops_command,
    find_problems,
    install_command,
    installed_version,
)

UPSTREAM = {
    **{package.distributions[0]: package.lowest for package in PACKAGES},
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
}
FORKS = {
    **{name: version for name, version in UPSTREAM.items() if not name.startswith('mm')},
    **{
        package.distributions[-1]: version
        for package, version in zip(
            (package for package in PACKAGES if package.fork),
            ('0.10.12', '2.3.6', '3.5.1', '1.3.6', '1.4.2'),
        )
    },
}


@pytest.fixture
def no_modules(monkeypatch):
    monkeypatch.setattr(dependencies, 'find_spec', lambda module: None)


def without(versions, *names):
    return {name: version for name, version in versions.items() if name not in names}


def test_this_environment_is_fine():
    check_dependencies()
    assert installed_version('mmengine') in {
        metadata.version(name)
        for name in ('mmengine', 'onedl-mmengine')
        if name in dependencies.installed_versions()
    }


@pytest.mark.parametrize(
    'versions', [UPSTREAM, FORKS, {**without(UPSTREAM, 'mmcv'), 'mmcv-lite': '2.1.0'}]
)
def test_both_families_are_accepted(versions, no_modules):
    assert list(find_problems(versions)) == []


@pytest.mark.parametrize(
    ('versions', 'cause', 'command'),
    [
        (without(UPSTREAM, 'mmcv'), 'mmcv >= 2.0, none', '--no-deps "mmcv-lite==2.1.0"'),
        (without(FORKS, 'onedl-mmcv'), 'mmcv >= 2.0, none', 'pip install onedl-mmcv'),
        (without(UPSTREAM, 'mmdet'), 'mmdet >= 3.3, none', 'pip install "mmdet==3.3.0"'),
        (without(UPSTREAM, 'torch'), 'torch >= 2.1, none', 'pip install torch torchvision'),
        (without(UPSTREAM, *OPENCV), 'cv2 >= 4.5, none', 'pip install opencv-python-headless'),
        ({**UPSTREAM, 'torch': '2.0.1+cu118'}, '2.1, found 2.0.1+cu118', '--upgrade torch'),
        ({**UPSTREAM, 'mmdet': '2.28.2'}, 'found 2.28.2', '--upgrade "mmdet==3.3.0"'),
        ({**UPSTREAM, 'mmcv': '2.2.0'}, 'mmcv < 2.2 for mmdet 3.3.0', 'uninstall -y mmcv && '),
        (
            {**without(UPSTREAM, 'mmcv'), 'mmcv-lite': '2.2.0'},
            'found mmcv-lite 2.2.0',
            'uninstall -y mmcv-lite && pip install --no-deps "mmcv-lite==2.1.0"',
        ),
    ],
)  # fmt: skip
def test_one_cause_and_one_command(versions, cause, command, no_modules):
    (problem,) = find_problems(versions)
    assert cause in problem.cause
    assert command in problem.command
    assert problem.blocking


def test_a_missing_package_ends_with_one_message(monkeypatch, no_modules):
    monkeypatch.setattr(dependencies, 'installed_versions', dict)
    with pytest.raises(
        ImportError, match='needs torch >= 2.1, none is installed; run: pip install'
    ):
        check_dependencies()


def test_an_old_package_ends_with_one_message(monkeypatch):
    monkeypatch.setattr(dependencies, 'installed_versions', lambda: {**UPSTREAM, 'mmdet': '2.28.2'})
    with pytest.raises(ImportError, match=r'needs mmdet >= 3.3, found 2.28.2; run: pip install'):
        check_dependencies()


def test_a_checkout_on_the_path_is_accepted(monkeypatch):
    """It has no distribution, so its version is not known."""
    monkeypatch.setattr(dependencies, 'find_spec', lambda module: module == 'mmdet' or None)
    assert list(find_problems(without(UPSTREAM, 'mmdet'))) == []


def test_a_feature_is_installed_for_its_family():
    page = next(package for package in PACKAGES if package.module == 'mmseg')
    assert install_command(page, UPSTREAM).startswith('pip install "mmsegmentation==')
    assert install_command(page, FORKS) == 'pip install onedl-mmsegmentation'
    assert 'onedl-mmcv' in compiled_ops_command(FORKS)
    assert '"mmcv==2.1.0"' in compiled_ops_command(UPSTREAM)
