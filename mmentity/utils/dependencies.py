"""What mmentity builds on: lowest versions, what each is for, and the command that brings it."""

from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, NamedTuple, Optional

from packaging.version import Version


class Package(NamedTuple):
    """A package that mmentity builds on, which one of the distributions brings.

    ``install`` is for pip in an environment of upstream OpenMMLab; ``feature`` is the
    only one that needs the package, empty if training and prediction do.
    """

    module: str
    distributions: tuple[str, ...]
    lowest: str
    install: str
    feature: str = ''

    @property
    def fork(self) -> str:
        """Distribution for an environment of the onedl-* forks, empty if it is the same."""
        return next((name for name in self.distributions if name.startswith('onedl-')), '')


class Problem(NamedTuple):
    """What is wrong and the command that fixes it; blocking if training or prediction fails."""

    cause: str
    command: str
    blocking: bool = True


OPENCV = (
    'opencv-python-headless',
    'opencv-python',
    'opencv-contrib-python-headless',
    'opencv-contrib-python',
)
# without what they ask for, because that would bring a second OpenCV
ENGINE = '--no-deps "mmengine>=0.10.4" addict pyyaml termcolor yapf platformdirs tomli'
LITE = '--no-deps "mmcv-lite==2.1.0"'
ONNX = 'exported networks'
PACKAGES = (
    Package('torch', ('torch',), '2.1', 'torch torchvision'),
    Package('torchvision', ('torchvision',), '0.16', 'torch torchvision'),
    Package('numpy', ('numpy',), '1.22', 'numpy'),
    Package('scipy', ('scipy',), '1.8', 'scipy'),
    Package('PIL', ('pillow',), '9.1', 'pillow'),
    Package('cv2', OPENCV, '4.5', OPENCV[0]),
    Package('matplotlib', ('matplotlib',), '3.5', 'matplotlib'),
    Package('pycocotools', ('pycocotools',), '2.0.7', 'pycocotools'),
    Package('safetensors', ('safetensors',), '0.4', 'safetensors'),
    Package('rich', ('rich',), '10.0', 'rich'),
    Package('terminaltables', ('terminaltables',), '3.1', 'terminaltables'),
    Package('mmengine', ('mmengine', 'onedl-mmengine'), '0.10.4', ENGINE),
    Package('mmcv', ('mmcv', 'mmcv-lite', 'onedl-mmcv'), '2.0', LITE),
    Package('mmdet', ('mmdet', 'onedl-mmdetection'), '3.3', '"mmdet==3.3.0"'),
    Package('mmpretrain', ('mmpretrain', 'onedl-mmpretrain'), '1.2', '"mmpretrain==1.2.0"'),
    Package(
        'mmseg',
        ('mmsegmentation', 'onedl-mmsegmentation'),
        '1.2.2',
        '"mmsegmentation==1.2.2" ftfy regex',
        'semantic segmentation',
    ),
    Package(
        'panopticapi',
        ('panopticapi-lite', 'panopticapi'),
        '0.1',
        '--no-deps panopticapi-lite',
        'PQ of panoptic segmentation',
    ),
    Package(
        'huggingface_hub', ('huggingface-hub',), '1.0', '"mmentity[weights]"', 'weights by name'
    ),
    Package('onnxruntime', ('onnxruntime', 'onnxruntime-gpu'), '1.18', '"mmentity[onnx]"', ONNX),
    Package('onnx', ('onnx',), '1.16', '"mmentity[onnx-export]"', 'exporting ONNX'),
    Package('onnxscript', ('onnxscript',), '0.3', '"mmentity[onnx-export]"', 'exporting ONNX'),
    Package('open_clip', ('open-clip-torch',), '3.0', '"mmentity[clip]"', 'names of entities'),
    Package('pyarrow', ('pyarrow',), '14.0', '"mmentity[parquet]"', 'features as tables'),
    Package('starlette', ('starlette',), '0.40', '"mmentity[web]"', 'the page in the browser'),
    Package('uvicorn', ('uvicorn',), '0.30', '"mmentity[web]"', 'the page in the browser'),
)
BUILD_TOOLS = 'pip install "setuptools<80" wheel ninja psutil'
BUILD_MMCV = 'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --no-deps'


def check_dependencies() -> None:
    """Check what training and prediction need, without importing it.

    Raises:
        ImportError: If a package is missing, too old, or refused by another one.
    """
    for problem in find_problems(installed_versions()):
        raise ImportError(f'mmentity needs {problem.cause}; run: {problem.command}')


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def import_opencv(feature: str) -> Any:
    """Import OpenCV, which prediction from an exported file does without.

    Args:
        feature: What needs it, in the plural.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        return import_module('cv2')
    except ImportError as error:
        raise ImportError(
            f'{feature} need OpenCV ({error}); run: pip install {OPENCV[0]}'
        ) from error


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


def installed_version(module: str) -> Optional[str]:
    """Find the version of a module of the table; None if no package manager knows it."""
    versions = installed_versions()
    package = next(package for package in PACKAGES if package.module == module)
    return next((versions[name] for name in package.distributions if name in versions), None)


def find_problems(versions: Mapping[str, str]) -> Iterator[Problem]:
    """Find what keeps training or prediction from running: missing, too old or refused."""
    for package in PACKAGES:
        if package.feature:
            continue
        command = install_command(package, versions)
        needed = f'{package.module} >= {package.lowest}'
        name = next((name for name in package.distributions if name in versions), None)
        if name is None:
            # a checkout on the path has no distribution
            if find_spec(package.module) is None:
                yield Problem(f'{needed}, none is installed', command)
        elif Version(versions[name]) < Version(package.lowest):
            command = command.replace('install', 'install --upgrade', 1)
            yield Problem(f'{needed}, found {versions[name]}', command)
        elif package.module == 'mmcv' and Version(versions[name]) >= Version('2.2'):
            # mmdet 3.3 says it as an assertion
            mmdet = versions.get('mmdet')
            if mmdet and Version(mmdet) < Version('3.4'):
                yield Problem(
                    f'mmcv < 2.2 for mmdet {mmdet}, found {name} {versions[name]}',
                    f'pip uninstall -y {name} && pip install {LITE}',
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
