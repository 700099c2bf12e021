"""One clear sentence where a dependency is missing or does not fit."""

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

# module: (distributions that bring it, lowest version, command that mends it)
NEEDED = {
    'torch': (('torch',), '2.0', 'pip install torch torchvision'),
    'mmengine': (('mmengine', 'onedl-mmengine'), '0.10.4', 'pip install "mmengine>=0.10.4"'),
    'mmcv': (
        ('mmcv', 'onedl-mmcv'),
        '2.0',
        'MMCV_WITH_OPS=1 pip install --no-build-isolation "mmcv==2.1.0"',
    ),
    'mmdet': (('mmdet', 'onedl-mmdetection'), '3.3', 'pip install "mmdet==3.3.0"'),
    'mmpretrain': (
        ('mmpretrain', 'onedl-mmpretrain'),
        '1.2',
        'pip install "mmpretrain==1.2.0"',
    ),
}


def check_dependencies() -> None:
    """Check what mmentity builds on, without importing it.

    Raises:
        ImportError: If a package is missing or too old, or mmcv has no compiled
            ops; the sentence tells what was found, what is needed and the
            command that mends it.
    """
    for module, (distributions, lowest, command) in NEEDED.items():
        spec = find_spec(module)
        if spec is None:
            raise ImportError(f'mmentity needs {module} >= {lowest}, none is there; run: {command}')
        found = _version(distributions)
        if found is not None and _numbers(found) < _numbers(lowest):
            raise ImportError(f'mmentity needs {module} >= {lowest}, found {found}; run: {command}')
        if module == 'mmcv' and not _has_compiled_ops(Path(spec.origin).parent):
            raise ImportError(
                f'mmentity needs the compiled ops of mmcv, found mmcv {found} without them; '
                f'run: pip uninstall -y mmcv && {command}'
            )


def installed_version(module: str) -> Optional[str]:
    """Find the version of a package by the name under which it is imported; None if unknown."""
    others = {'PIL': ('pillow',), 'numpy': ('numpy',)}
    return _version(NEEDED[module][0] if module in NEEDED else others[module])


def _version(distributions: tuple) -> Optional[str]:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _numbers(version: str) -> tuple:
    """Leading numbers of a version, enough to compare releases."""
    numbers = []
    for part in version.split('+')[0].split('.'):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _has_compiled_ops(package: Path) -> bool:
    return any(package.glob('_ext*'))
