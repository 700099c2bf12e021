"""Let mmpretrain be imported beside a current transformers.

mmpretrain 1.2 imports its language models as soon as it finds a transformers, and ends in a
``TypeError`` where that lacks names that it has removed since (4.57 and 5 do); mmdet, which
imports mmpretrain, ends with it. Such a transformers counts as not installed here: mmpretrain's
own placeholders say so where one of these models is asked for.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Optional

# where mmpretrain decides whether its language models are imported
DECIDES = 'mmpretrain.utils.dependency'
# what its language models import from transformers.modeling_utils
ASKED_FOR = ('apply_chunking_to_forward', 'find_pruneable_heads_and_indices', 'prune_linear_layer')


def leave_out_language_models() -> None:
    """Have mmpretrain leave its language models out where it cannot import them."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # before the finder of files, which it asks
        sys.meta_path.insert(0, _Finder())


def lacks_names() -> bool:
    """Whether a transformers is installed without what mmpretrain's language models import.

    It is looked up in its text: importing it takes seconds.
    """
    spec = find_spec('transformers')
    if spec is None or spec.origin is None:
        return False
    utils = Path(spec.origin).with_name('modeling_utils.py')
    text = utils.read_text(encoding='utf-8') if utils.is_file() else ''
    return not all(name in text for name in ASKED_FOR)


class _Finder(MetaPathFinder):
    """Finder of the one module that decides, as it is but for its decision."""

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        if fullname != DECIDES or not lacks_names():
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                module.__dict__['WITH_MULTIMODAL'] = False

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
