"""Let mmcv's operators import where its compiled module ``mmcv._ext`` is missing.

``mmcv-lite`` and an mmcv built without torch in sight have every file of
``mmcv.ops`` but the compiled one, so mmdet cannot be imported on them. The
networks of mmentity do not need compiled ops; a stand-in lets them import and
raises one error when an op that nobody replaces is called.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn, Optional

from mmentity.utils.dependencies import compiled_ops_command, installed_versions


class CompiledOpError(ImportError):
    """An op of mmcv was called that exists in compiled form only."""


def install_stand_in() -> None:
    """Serve a stand-in for ``mmcv._ext`` where no other finder knows the true one.

    The stand-in has the attribute ``__mmentity_stand_in__``, and each op in it raises
    :class:`CompiledOpError` when it is called.
    """
    if not any(isinstance(finder, _StandInFinder) for finder in sys.meta_path):
        sys.meta_path.append(_StandInFinder())


class _StandInFinder(MetaPathFinder, Loader):
    """Finder and loader of the stand-in; the last one asked, so the true module goes first."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]],
        target: Optional[ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        return ModuleSpec(fullname, self) if fullname == 'mmcv._ext' else None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(__mmentity_stand_in__=True, __getattr__=_missing_op)


def _missing_op(name: str) -> Callable[..., NoReturn]:
    """Give what stands for an op: mmcv asks for the names of all at import."""
    if name.startswith('__'):
        raise AttributeError(name)

    def raise_error(*args: object, **kwargs: object) -> NoReturn:
        command = compiled_ops_command(installed_versions())
        raise CompiledOpError(
            f'{name} is a compiled op, which the installed mmcv does not have; run: {command}'
        )

    return raise_error
