"""Where the files of an image go: patterns such as ``{sequence}/output/mask/{frame}``.

A pattern is a path below the output folder, in which fields are filled in:

- ``{name}``: path of the image below its input (or ``--root``), without suffix;
- ``{stem}``: name of its file up to the last dot;
- ``{frame}``: name of its file up to the first dot that no digit follows, so
  ``frame-000001`` of ``frame-000001.color.jpg``, but all of ``1305031102.175304.jpg`` up to
  its suffix; number of the frame of a video;
- ``{prefix}``: name of its file up to the first dot of all, as ``name.split('.')[0]`` gives
  it, so ``1305031102`` of the latter;
- ``{suffix}``: what follows the last dot;
- ``{parent}``: the folder of the file; the video of a frame;
- ``{sequence}``: the folder above folders such as ``color``, ``rgb``, ``frames``; the video
  of a frame;
- ``{sequence_folder}``: the same, ``ABC/ABC`` where both folders have one name, as scans of
  Matterport3D have;
- ``{format}``: the folder of a format: ``idmap``, ``rle``, ``entities``, ...

The suffix of a format is added where it is missing.
"""

import glob
import re
from string import Formatter
from typing import NamedTuple

FIELDS = (
    'name', 'stem', 'frame', 'prefix', 'suffix', 'parent', 'sequence', 'sequence_folder', 'format'
)  # fmt: skip
# of which the value may hold more than one folder
DEEP_FIELDS = ('name', 'sequence_folder')
DEFAULT = '{format}/{name}'


class Place(NamedTuple):
    """Folder that ``{format}`` stands for, and suffix of the files of a format."""

    folder: str
    suffix: str


PLACES = {
    'idmap': Place('idmap', '.png'),
    'rle': Place('rle', '.json'),
    'npz': Place('npz', '.npz'),
    'overlay': Place('overlay', '.jpg'),
    'cutout': Place('cutout', ''),
    'features': Place('features', '.npz'),
    'parquet': Place('parquet', '.parquet'),
    'sheet': Place('contact_sheet/entities', '.jpg'),
    'sheet_image': Place('contact_sheet/images', '.jpg'),
    'coco': Place('coco', '.json'),
    'panoptic': Place('panoptic', '.png'),
    'labelme': Place('labelme', '.json'),
    'cvat': Place('cvat', '.xml'),
    'labelstudio': Place('labelstudio', '.json'),
    'sidecar': Place('entities', '.json'),
}
# files of all images together, in the output folder
WHOLE_RUN_FILES = {
    'coco': ('coco.json',),
    'panoptic': ('panoptic.json',),
    'cvat': ('cvat.xml',),
    'labelstudio': ('labelstudio.json', 'labelstudio.xml'),
}


def build_patterns(main: str, layout: str, beside: str) -> dict[str, str]:
    """Make the pattern of each of ``PLACES``, with suffix.

    Args:
        main: The format that ``layout`` places.
        layout: Pattern; where it has ``{format}``, it places all formats.
        beside: Pattern with ``{format}`` of the other formats; by default, the
            empty one, they go into ``{format}/`` and then as ``layout`` says.

    Raises:
        ValueError: If a pattern has no field, an unknown one, or leads out of the
            folder.
    """
    layout = _check(layout, 'layout')
    suffix = PLACES[main].suffix
    bare = layout[: -len(suffix)] if suffix and layout.lower().endswith(suffix) else layout
    other = re.search(r'\.(?:png|npz|json|jpg|xml|parquet)$', bare.lower())
    if other:
        raise ValueError(
            f'layout is {layout!r}, but it places {main}, of which files end in '
            f'{suffix or "nothing"}'
        )
    everywhere = bare if '{format}' in bare else '{format}/' + bare
    beside = _check(beside or everywhere, 'beside')
    if '{format}' not in beside:
        raise ValueError(f'beside is {beside!r}; it needs {{format}} to tell formats apart')
    patterns = {}
    for key, place in PLACES.items():
        pattern = bare if key == main else beside
        patterns[key] = pattern.replace('{format}', place.folder) + place.suffix
    return patterns


def fields_of(pattern: str) -> list[str]:
    """Return the fields of a pattern in their order."""
    return [field for _, field, _, _ in Formatter().parse(pattern) if field is not None]


def glob_of(pattern: str) -> str:
    """Return a glob that matches all files of a pattern, and perhaps others."""
    parts = []
    for part in pattern.split('/'):
        fields, end = fields_of(part), glob.escape(part.rpartition('}')[2])
        deep = not set(fields).isdisjoint(DEEP_FIELDS)
        parts.append(f'**/*{end}' if deep else f'*{end}' if fields else end)
    return '/'.join(parts)


def _check(pattern: str, option: str) -> str:
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        raise ValueError(f'{option} is {pattern!r}: {error}') from error
    unknown = [f for _, f, spec, conversion in parts if f is not None and f not in FIELDS]
    if unknown or any(spec or conversion for _, _, spec, conversion in parts):
        raise ValueError(
            f'{option} is {pattern!r}; its fields are {", ".join(f"{{{f}}}" for f in FIELDS)}'
        )
    if '{{' in pattern or '}}' in pattern:
        raise ValueError(f'{option} is {pattern!r}; braces are around fields only')
    if pattern.startswith('/') or '..' in pattern.split('/'):
        raise ValueError(f'{option} is {pattern!r}; it is a path below --out')
    if not set(fields_of(pattern)) - {'format'}:
        raise ValueError(f'{option} is {pattern!r}; without a field, all images go to one file')
    return pattern
