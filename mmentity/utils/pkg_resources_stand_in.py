"""Let mmengine find packages where setuptools has no ``pkg_resources`` any more (from 82 on).

mmengine 0.10.7 asks it where a package is, for ``_base_ = 'mmdet::...'`` and
``'mmentity::...'``. The stand-in answers these questions from ``importlib.metadata``.
Whoever asks it for more gets the ``ImportError`` that there is without it, which other packages
are prepared for.
"""

import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Optional


class DistributionNotFound(Exception):  # noqa: N818  its name in pkg_resources
    """There is no such distribution."""


class Distribution:
    """What mmengine asks of a distribution."""

    def __init__(self, found: metadata.Distribution, name: str) -> None:
        self._found = found
        module = (found.read_text('top_level.txt') or name).split()[0]
        spec = find_spec(module)
        # an editable install has its metadata elsewhere
        origin = spec.origin if spec is not None else None
        self.location = str(Path(origin).parents[1] if origin else found.locate_file(''))

    def has_metadata(self, name: str) -> bool:
        """Whether the distribution has a file of metadata."""
        return self._found.read_text(name) is not None

    def get_metadata(self, name: str) -> str:
        """Return a file of metadata."""
        return self._found.read_text(name) or ''


def get_distribution(name: str) -> Distribution:
    """Find a distribution by its name.

    Raises:
        DistributionNotFound: If there is none.
    """
    try:
        return Distribution(metadata.distribution(name), name)
    except metadata.PackageNotFoundError as error:
        raise DistributionNotFound(name) from error


def fixup_namespace_packages(path_item: str, parent: Optional[str] = None) -> None:
    """Do nothing: no package can be declared a namespace here. pytest asks for it."""


def install_pkg_resources() -> None:
    """Serve the stand-in where no other finder knows the true ``pkg_resources``."""
    if not any(isinstance(finder, _StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(_StandInFinder())


class _StandInFinder(MetaPathFinder, Loader):
    """Finder and loader; the last one asked, so the true module goes first."""

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        return ModuleSpec(fullname, self) if fullname == 'pkg_resources' else None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(
            __mmentity_stand_in__=True,
            DistributionNotFound=DistributionNotFound,
            get_distribution=get_distribution,
            fixup_namespace_packages=fixup_namespace_packages,
            __getattr__=_refuse,
        )


def _refuse(name: str) -> NoReturn:
    if name.startswith('_'):
        raise AttributeError(name)
    raise ImportError(f"No module named 'pkg_resources', of which {name} is asked; see setuptools")
