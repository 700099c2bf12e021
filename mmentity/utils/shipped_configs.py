"""The configs that travel with the package."""

import ast
import difflib
import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Optional, Union

if TYPE_CHECKING:
    from mmengine.config import Config

CONFIGS = Path(__file__).parents[1] / '.mim' / 'configs'


def shipped_configs() -> list[str]:
    """Names of all shipped configs, as ``mim`` knows them, general ones first."""
    paths = [path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts]
    names = [path.relative_to(CONFIGS).as_posix() for path in paths]
    return sorted(names, key=lambda name: ('/' in name, len(name), name))


def find_config(config: Union[str, Path]) -> Path:
    """Find a config by its path or, among the shipped ones, by its name.

    Args:
        config: Path, or a name such as ``'cropformer_hornet-l_3x'``, with or
            without folder and ``.py``.

    Raises:
        FileNotFoundError: If there is none; the message names similar ones.

    Examples:
        >>> find_config('cropformer_hornet-l_3x').name
        'cropformer_hornet-l_3x.py'
    """
    if Path(config).is_file():
        return Path(config)
    by_stem = {Path(name).stem: CONFIGS.resolve() / name for name in shipped_configs()}
    name = Path(config).name
    stem = name[: -len('.py')] if name.endswith('.py') else name
    if stem in by_stem:
        return by_stem[stem]
    similar = difflib.get_close_matches(stem, by_stem, n=3, cutoff=0.3) or sorted(by_stem)
    raise FileNotFoundError(
        f'there is no config {str(config)!r}, neither as a file nor among the shipped ones; '
        f'similar: {", ".join(similar)}'
    )


def config_path(config: Union[str, Path]) -> str:
    """Path of a shipped config, for ``_base_`` of a config that another package's tools load.

    Args:
        config: As in :func:`find_config`.
    """
    return str(find_config(config))


def get_config(config: Union[str, Path]) -> 'Config':
    """Load a config by its path or, among the shipped ones, by its name.

    Args:
        config: As in :func:`find_config`.

    Raises:
        FileNotFoundError: If there is none; the message names similar ones.

    Examples:
        >>> get_config('cropformer_swin-t_3x').train_dataloader.batch_size
        1
    """
    from mmengine.config import Config

    return Config.fromfile(find_config(config))


def decisive_digest(config: 'Config') -> str:
    """Digest what decides about predictions: the model and the test pipeline."""
    decisive = [config.model.to_dict(), config.test_dataloader.dataset.pipeline]
    return hashlib.sha256(repr(decisive).encode()).hexdigest()


def files_of(config: Path) -> list[Path]:
    """Files that a config is made of: itself and all that its ``_base_`` names."""
    found = [config]
    for node in ast.parse(config.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_':
            bases = ast.literal_eval(node.value)
            for base in [bases] if isinstance(bases, str) else bases:
                found += files_of((config.parent / base).resolve())
    return list(dict.fromkeys(found))


def register_with_mmengine() -> None:
    """Let mmengine find ``mmentity::NAME.py``, as it does the configs of its own packages.

    Its table of packages is extended when it is imported, which is not yet.
    """
    if _TableFinder.TABLE in sys.modules:
        _extend_table(sys.modules[_TableFinder.TABLE])
    elif not any(isinstance(finder, _TableFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TableFinder())


def _extend_table(module: ModuleType) -> None:
    table = getattr(module, 'MODULE2PACKAGE', None)
    if table is not None:
        table.setdefault('mmentity', 'mmentity')


class _TableFinder(MetaPathFinder):
    """Leaves the finding to the others, and extends the module when it is loaded."""

    TABLE = 'mmengine.config.utils'

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        if fullname != self.TABLE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_extend(module: ModuleType) -> None:
                execute(module)
                _extend_table(module)

            spec.loader.exec_module = execute_and_extend  # type: ignore[method-assign]
        return spec
