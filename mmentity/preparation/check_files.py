"""Checks of single files, each run in a process of its own."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mmentity.structures.rle import Runs, runs_of

ORIENTATION = 0x0112
BOX_TOLERANCE_PX = 2


class Picture(NamedTuple):
    """What a picture file is.

    Attributes:
        size: ``(height, width)`` px, EXIF orientation applied; None if unknown.
        fault: Why it cannot be read, or ''.
    """

    size: tuple
    fault: str


def inspect_picture(path: str) -> Picture:
    """Decode a picture as coarsely as its format allows, so that a cut file shows."""
    size = None
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(ORIENTATION, 1) >= 5
            size = (width, height) if turned else (height, width)
            picture.draft('RGB', (max(1, width // 8), max(1, height // 8)))
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Picture(size, str(error).replace(str(Path(path).parent), '...'))
    return Picture(size, '')


class Masks(NamedTuple):
    """All masks of one picture.

    Attributes:
        height: Height of the picture in px.
        width: Width of the picture in px.
        rows: For each annotation its name, segmentation, area and box (or None).
    """

    height: int
    width: int
    rows: list


def check_masks(masks: Masks) -> tuple:
    """Check the masks of one picture on their runs, without decoding them.

    Returns:
        List of ``(kind, item, detail)``, and the share of pixels without an
        entity, or None where a mask cannot be read.
    """
    problems, names, all_runs = [], [], []
    for name, segmentation, area, box in masks.rows:
        try:
            runs, tight = _read(segmentation, masks.height, masks.width)
        except _SizeError as error:
            problems.append(('mask-size', name, str(error)))
            continue
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            problems.append(('bad-mask', name, f'{type(error).__name__}: {error}'))
            continue
        names.append(name)
        all_runs.append(runs)
        problems += _check_numbers(name, segmentation, runs, area, box, tight)
    covered, overlapping = _cover(all_runs)
    for first, second in overlapping:
        problems.append(('overlap', names[first], f'shares pixels with {names[second]}'))
    complete = len(all_runs) == len(masks.rows)
    share = 1 - covered / (masks.height * masks.width) if complete else None
    return problems, share


class _SizeError(ValueError):
    pass


def _read(segmentation: object, height: int, width: int) -> tuple:
    """Return runs and tight box (x, y, width, height) of a segmentation."""
    if isinstance(segmentation, dict):
        size = tuple(segmentation['size'])
        if size != (height, width):
            raise _SizeError(f'its size is {size}, that of the picture ({height}, {width})')
        runs = runs_of(segmentation, height, width)
        if isinstance(segmentation['counts'], list):
            segmentation = mask_utils.frPyObjects(segmentation, height, width)
        return runs, mask_utils.toBbox(segmentation)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError('the segmentation is neither an RLE nor a list of polygons')
    merged = mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    return runs_of(merged, height, width), mask_utils.toBbox(merged)


def _check_numbers(
    name: str, segmentation: object, runs: Runs, area: object, box: object, tight: np.ndarray
) -> list:
    pixels = int(runs.lengths.sum())
    if pixels == 0:
        return [('empty-mask', name, 'no pixel')]
    problems = []
    # the area of a polygon is that of its outline, not of its pixels
    if area is not None and isinstance(segmentation, dict) and abs(area - pixels) >= 1:
        problems.append(('wrong-area', name, f'area {area}, the mask has {pixels} px'))
    if box is not None and np.abs(np.asarray(box, float) - tight).max() > BOX_TOLERANCE_PX:
        problems.append(('wrong-box', name, f'box {box}, that of the mask is {tight.tolist()}'))
    return problems


def _cover(all_runs: list) -> tuple:
    """Count covered pixels and find overlapping pairs, one for each later mask."""
    if not all_runs:
        return 0, []
    starts = np.concatenate([runs.starts for runs in all_runs])
    ends = starts + np.concatenate([runs.lengths for runs in all_runs])
    owner = np.repeat(np.arange(len(all_runs)), [len(runs.starts) for runs in all_runs])
    order = np.argsort(starts, kind='stable')
    starts, ends, owner = starts[order], ends[order], owner[order]
    if not starts.size:
        return 0, []
    reach = np.maximum.accumulate(ends)
    before = np.concatenate(([0], reach[:-1]))
    covered = int(np.maximum(ends - np.maximum(starts, before), 0).sum())
    pairs = set()
    for place in np.flatnonzero(starts < before):
        # the run that reaches furthest is one that this run overlaps
        other = owner[int(np.searchsorted(reach, before[place]))]
        if other != owner[place]:
            pairs.add((int(other), int(owner[place])))
    return covered, sorted(pairs)
