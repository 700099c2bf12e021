"""Presets: what a project reads, as a small yaml file; those shipped, and those of users.

A file holds long options of ``mmentity predict`` without their dashes in front, and a few
keys more; docs/reference/presets.md has them all.
"""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import yaml

from mmentity.apis.crops import check_crops
from mmentity.apis.export.options import OutputOptions, read_names, read_size
from mmentity.utils.shipped_configs import find_config

FILES = Path(__file__).parent / 'preset_files'


class Preset(NamedTuple):
    """What a project wants.

    Attributes:
        outputs: What is written.
        model: Config that its authors run, by the name of a shipped one or by path.
        crops: Crops that a CropFormer sees beside the whole image, as for
            :class:`mmentity.apis.EntityInferencer`.
    """

    outputs: OutputOptions = OutputOptions()
    model: Optional[str] = None
    crops: Optional[int] = None


class Kind(NamedTuple):
    """What the value of a key may be: in words, and how it is read; TypeError if it is not."""

    words: str
    read: Callable[[Any], Any]


class Key(NamedTuple):
    """A key: what its value may be, and the attribute of the options that it sets, if any."""

    kind: Kind
    attribute: Optional[str] = None


def _exactly(*types: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        # true is an int as well
        if type(value) not in types:
            raise TypeError
        return value

    return read


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return read_names(value)
    if not isinstance(value, list) or any(type(name) is not str for name in value):
        raise TypeError
    return tuple(value)


def _size(value: Any) -> tuple[int, int]:
    if type(value) is not str:
        raise TypeError
    return read_size(value)


TEXT = Kind('text', _exactly(str))
NUMBER = Kind('a number', _exactly(int, float))
WHOLE = Kind('a whole number', _exactly(int))
FLAG = Kind('true or false', _exactly(bool))
NAMES = Kind('names, as a list or with commas between them', _names)
SIZE = Kind('a size such as 640x480, width first', _size)

KEYS = {
    'model': Key(TEXT),
    'crops': Key(WHOLE),
    'format': Key(NAMES, 'formats'),
    'layout': Key(TEXT, 'layout'),
    'beside': Key(TEXT, 'beside'),
    'sequence': Key(TEXT, 'sequence'),
    'score-thr': Key(NUMBER, 'score_thr'),
    'min-area': Key(WHOLE, 'min_area'),
    'split-components': Key(FLAG, 'split_components'),
    'split-gap': Key(NUMBER, 'split_gap'),
    'order': Key(TEXT, 'order'),
    'reverse': Key(FLAG, 'reverse'),
    'ids': Key(TEXT, 'ids'),
    'id-dtype': Key(TEXT, 'id_dtype'),
    'resize': Key(SIZE, 'size'),
    'resize-first': Key(FLAG, 'resize_first'),
    'max-side': Key(WHOLE, 'max_side'),
    'draw': Key(NAMES, 'drawn'),
    'cutout-background': Key(TEXT, 'cutout_background'),
    'cutout-pad': Key(NUMBER, 'cutout_pad'),
    'cutout-size': Key(WHOLE, 'cutout_size'),
    'contact-sheet': Key(FLAG, 'sheet'),
    'npz-key': Key(TEXT, 'npz_key'),
    'npz-tables': Key(FLAG, 'npz_tables'),
}


def read_preset(preset: Union[str, Path]) -> Preset:
    """Read a preset by the name of a shipped one, or from a file of the user.

    Args:
        preset: Name, such as ``'gaga'``, or path of a yaml file.

    Raises:
        FileNotFoundError: If there is neither; the message names similar ones.
        ValueError: If the file is no yaml, or a key or value is not allowed; the message
            names the file and the key.

    Examples:
        >>> read_preset('gaga').outputs.layout
        '{sequence}/raw_entityseg_mask/{prefix}.png'
    """
    if str(preset) in PRESETS:
        return PRESETS[str(preset)]
    if Path(preset).is_file():
        return _read_file(Path(preset))
    similar = difflib.get_close_matches(str(preset), PRESETS, cutoff=0.5) or sorted(PRESETS)
    raise FileNotFoundError(
        f'there is no preset {str(preset)!r}, neither as a file nor among the shipped ones; '
        f'similar: {", ".join(similar)}'
    )


def _read_file(path: Path) -> Preset:
    try:
        return _build(_load(path))
    except ValueError as error:
        raise ValueError(f'preset {path}: {error}') from error


def _load(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_bytes(), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'it is no yaml ({" ".join(str(error).split())})') from error
    if not isinstance(values, dict):
        raise ValueError('it holds no keys; write lines such as "score-thr: 0.5"')
    return values


def _build(values: dict[str, Any]) -> Preset:
    read = {str(key): _read_value(str(key), value) for key, value in values.items()}
    if 'model' in read:
        try:
            find_config(read['model'])
        except FileNotFoundError as error:
            raise ValueError(f'model: {error}') from error
    if 'crops' in read:
        check_crops(read['crops'])
    outputs = {
        key.attribute: read[name]
        for name, key in KEYS.items()
        if key.attribute is not None and name in read
    }
    return Preset(OutputOptions(**outputs), read.get('model'), read.get('crops'))


def _read_value(name: str, value: Any) -> Any:
    if name not in KEYS:
        similar = difflib.get_close_matches(name, KEYS, n=1)
        meant = f'did you mean {similar[0]}? ' if similar else ''
        raise ValueError(f'there is no key {name!r}; {meant}keys are {", ".join(KEYS)}')
    kind = KEYS[name].kind
    try:
        return kind.read(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} is {value!r}; it must be {kind.words}') from error


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which yaml takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f'{", ".join(sorted(twice))} stands twice')
        return super().construct_mapping(node, deep)


PRESETS = {path.stem: _read_file(path) for path in sorted(FILES.glob('*.yaml'))}
