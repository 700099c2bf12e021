"""What mmentity builds on: lowest versions, what each is for, and the command that brings it."""

import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple


class Package(NamedTuple):
    """A package that mmentity builds on.

    Attributes:
        module: Name under which it is imported.
        distributions: Distributions that bring it; they exclude each other.
        lowest: Lowest version.
        install: What pip installs, in an environment of upstream OpenMMLab.
        fork: Likewise, in an environment of the onedl-* forks.
        feature: The only feature that needs it; empty if training and prediction do.
    """

    module: str
    distributions: tuple[str, ...]
    lowest: str
    install: str
    fork: str = ''
    feature: str = ''


class Problem(NamedTuple):
    """Something about the installed packages that needs a fix.

    Attributes:
        cause: What is wrong.
        command: What fixes it.
        blocking: Whether training or prediction would fail.
    """

    cause: str
    command: str
    blocking: bool = True


OPENCV = (
    'opencv-python-headless',
    'opencv-python',
    'opencv-contrib-python-headless',
    'opencv-contrib-python',
)
# without dependencies, which are those of mmengine: they would bring a second OpenCV
LITE = '--no-deps "mmcv-lite==2.1.0"'
PACKAGES = (
    Package('torch', ('torch',), '2.1', 'torch torchvision'),
    Package('torchvision', ('torchvision',), '0.16', 'torch torchvision'),
    Package('numpy', ('numpy',), '1.22', 'numpy'),
    Package('scipy', ('scipy',), '1.8', 'scipy'),
    Package('PIL', ('pillow',), '9.1', 'pillow'),
    Package('cv2', OPENCV, '4.5', OPENCV[0]),
    Package('matplotlib', ('matplotlib',), '3.5', 'matplotlib'),
    Package('pycocotools', ('pycocotools',), '2.0.7', 'pycocotools'),
    Package('rich', ('rich',), '10.0', 'rich'),
    Package('terminaltables', ('terminaltables',), '3.1', 'terminaltables'),
    Package(
        'mmengine',
        ('mmengine', 'onedl-mmengine'),
        '0.10.4',
        '"mmengine>=0.10.4"',
        'onedl-mmengine',
    ),
    Package('mmcv', ('mmcv', 'mmcv-lite', 'onedl-mmcv'), '2.0', LITE, 'onedl-mmcv'),
    Package('mmdet', ('mmdet', 'onedl-mmdetection'), '3.3', '"mmdet==3.3.0"', 'onedl-mmdetection'),
    Package(
        'mmpretrain',
        ('mmpretrain', 'onedl-mmpretrain'),
        '1.2',
        '"mmpretrain==1.2.0"',
        'onedl-mmpretrain',
    ),
    Package(
        'mmseg',
        ('mmsegmentation', 'onedl-mmsegmentation'),
        '1.2.2',
        '"mmsegmentation==1.2.2" ftfy regex',
        'onedl-mmsegmentation',
        'semantic segmentation',
    ),
    Package(
        'panopticapi',
        ('panopticapi-lite', 'panopticapi'),
        '0.1',
        '--no-deps panopticapi-lite',
        feature='PQ of panoptic segmentation',
    ),
    Package('gradio', ('gradio',), '6.31', '"mmentity[web]"', feature='the page in the browser'),
)
BUILD_TOOLS = 'pip install "setuptools<80" wheel ninja psutil'
BUILD_MMCV = 'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --no-deps'


def installed_versions() -> dict[str, str]:
    """Find the versions of the distributions of the table that are installed."""
    versions = {}
    for package in PACKAGES:
        for name in package.distributions:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return versions


def find_problems(versions: Mapping[str, str]) -> Iterator[Problem]:
    """Find what keeps training or prediction from running: missing, too old or refused.

    Args:
        versions: Versions of the installed distributions, by name.
    """
    for package in PACKAGES:
        if package.feature:
            continue
        command = install_command(package, versions)
        found = [name for name in package.distributions if name in versions]
        if not found:
            # a checkout on the path has no distribution
            if find_spec(package.module) is None:
                yield Problem(f'{package.module} >= {package.lowest}, none is installed', command)
        elif _numbers(versions[found[0]]) < _numbers(package.lowest):
            cause = f'{package.module} >= {package.lowest}, found {versions[found[0]]}'
            yield Problem(cause, command.replace('install', 'install --upgrade', 1))
        elif package.module == 'mmcv' and 'mmdet' in versions:
            yield from _refused_mmcv(found[0], versions)


def _refused_mmcv(distribution: str, versions: Mapping[str, str]) -> Iterator[Problem]:
    """Say before mmdet 3.3 does, as an assertion, that it takes no mmcv from 2.2 on."""
    version = versions[distribution]
    if _numbers(version) >= (2, 2) and _numbers(versions['mmdet']) < (3, 4):
        yield Problem(
            f'mmcv < 2.2 for mmdet {versions["mmdet"]}, found {distribution} {version}',
            f'pip uninstall -y {distribution} && pip install {LITE}',
        )


def install_command(package: Package, versions: Mapping[str, str]) -> str:
    """Give the command that installs a package beside what is installed."""
    use_fork = any(name.startswith('onedl-mm') for name in versions) and 'mmdet' not in versions
    return f'pip install {(use_fork and package.fork) or package.install}'


def compiled_ops_command(versions: Mapping[str, str]) -> str:
    """Give the command that puts an mmcv with compiled ops in the place of the installed one."""
    if 'onedl-mmcv' in versions:
        return f'{BUILD_TOOLS} && {BUILD_MMCV} --force-reinstall onedl-mmcv'
    return f'pip uninstall -y mmcv mmcv-lite && {BUILD_TOOLS} && {BUILD_MMCV} "mmcv==2.1.0"'


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', version.split('+')[0])[:3])
