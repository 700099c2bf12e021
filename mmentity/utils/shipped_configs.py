"""The configs that travel with the package."""

import difflib
from pathlib import Path
from typing import Union

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
