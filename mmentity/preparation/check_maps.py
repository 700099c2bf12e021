"""Checks of semantic and panoptic maps, each run in a process of its own."""

from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image

from mmentity.datasets.categories import IGNORED, semantic_categories

NUM_CLASSES = len(semantic_categories())


class MapTask(NamedTuple):
    """One map to check.

    Attributes:
        path: The PNG.
        size: ``(height, width)`` px of its picture, or None where unknown.
        other: The same picture in the other resolution.
        segments: Area by segment id of a panoptic map; None for a semantic one.
    """

    path: str
    size: Optional[tuple]
    other: str
    segments: Optional[dict]


def check_map(task: MapTask) -> tuple:
    """Check size and values of one map.

    Returns:
        List of ``(kind, detail)``, number of classes or segments, and the share
        of pixels without one; None for both where the map cannot be read.
    """
    if not Path(task.path).is_file():
        return [('missing-map', 'does not exist')], None, None
    try:
        with Image.open(task.path) as picture:
            if task.segments is None and picture.mode not in ('L', 'P', 'I', 'I;16'):
                return [('bad-map', f'mode {picture.mode}, not one channel')], None, None
            values = np.asarray(picture if task.segments is None else picture.convert('RGB'))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return [('bad-map', str(error))], None, None
    problems = _check_size(values.shape[:2], task)
    if task.segments is None:
        return _check_classes(values, problems)
    return _check_segments(values.astype(np.int64) @ (1, 256, 65536), task.segments, problems)


def _check_size(actual: tuple, task: MapTask) -> list:
    if task.size is None or actual == tuple(task.size):
        return []
    detail = (
        f'the map is {actual[0]}x{actual[1]}, its picture {task.size[0]}x{task.size[1]} '
        '(height x width)'
    )
    try:
        with Image.open(task.other) as picture:
            other = picture.size[::-1]
    except OSError:
        other = None
    if actual == other:
        return [('map-of-other-resolution', f'{detail}; it fits {task.other}')]
    return [('map-size', detail)]


def _check_classes(values: np.ndarray, problems: list) -> tuple:
    found, counts = np.unique(values, return_counts=True)
    wrong = found[(found >= NUM_CLASSES) & (found != IGNORED)]
    if wrong.size:
        problems.append(('unknown-class-in-map', f'classes {wrong[:5].tolist()}'))
    return (
        problems,
        int((found != IGNORED).sum()),
        float(counts[found == IGNORED].sum() / values.size),
    )


def _check_segments(values: np.ndarray, segments: dict, problems: list) -> tuple:
    found = dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True))))
    share = found.pop(0, 0) / values.size
    for ids, text in (
        (found.keys() - segments.keys(), 'in the map only'),
        (segments.keys() - found.keys(), 'in the json only'),
    ):
        if ids:
            problems.append(('segments-differ', f'segments {sorted(ids)[:5]} are {text}'))
    wrong = [k for k in found.keys() & segments.keys() if segments[k] not in (None, found[k])]
    if wrong:
        k = min(wrong)
        detail = f'segment {k} has area {segments[k]}, the map has {found[k]} px'
        problems.append(('wrong-area', detail))
    return problems, len(segments), share
