"""Check of one sample: the rules of the loader, and what only makes it suspicious.

Runs in worker processes. Masks are checked on their runs, without decoding them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional, Union

import numpy as np
from PIL import Image

from mmentity.datasets.categories import IGNORED, semantic_categories
from mmentity.datasets.errors import SampleError
from mmentity.datasets.geometry import Size
from mmentity.datasets.rules import (
    check_classes,
    check_map_size,
    check_segments,
    decoding,
    mask_runs,
    semantic_values,
)
from mmentity.preparation.annotation_forms import Json
from mmentity.preparation.report import Problems, SampleSummary
from mmentity.structures.id_map import ids_of_colours
from mmentity.structures.rle import Runs, box_of

NUM_CLASSES = len(semantic_categories())
BOX_TOLERANCE_PX = 2


class MaskSample(NamedTuple):
    """The annotations of one image of ``size`` (height, width) px, as the json has them."""

    name: str
    size: Size
    annotations: list[Json]


class MapSample(NamedTuple):
    """One semantic or panoptic map: its name, and the PNG."""

    name: str
    path: str
    size: Optional[Size]  # of its image, where known
    other_image: str  # the same image in the other resolution
    segments: Optional[list[Json]]  # segments_info of a panoptic map


Sample = Union[MaskSample, MapSample]


def check_sample(file: str, sample: Sample) -> SampleSummary:
    """Check the masks or the map of one image of an annotation file."""
    if isinstance(sample, MaskSample):
        return _check_masks(Problems(file), sample)
    return _check_map(Problems(file), sample)


def _check_masks(problems: Problems, sample: MaskSample) -> SampleSummary:
    """Check masks, their areas and boxes, and whether they overlap."""
    name, (height, width), annotations = sample
    items: list[str] = []
    all_runs: list[Runs] = []
    for annotation in annotations:
        item = f'annotation {annotation["id"]}'
        with problems.collecting(f'{name}, {item}'):
            runs = mask_runs(annotation['segmentation'], sample.size)
            all_runs.append(runs)
            items.append(item)
            if not len(runs.lengths):
                raise SampleError('no pixel', 'empty-mask')
            for rule in (_check_area, _check_box):
                with problems.collecting(f'{name}, {item}'):
                    rule(annotation, runs, height)
    coverage = _cover(all_runs)
    for first, second in coverage.overlapping:
        problems.add('overlap', f'{name}, {items[first]}', f'shares pixels with {items[second]}')
    complete = len(all_runs) == len(annotations)
    unlabelled = 1 - coverage.pixels / (height * width) if complete else None
    return SampleSummary(problems, len(annotations), unlabelled)


def _check_area(annotation: Json, runs: Runs, _: int) -> None:
    area, pixels = annotation.get('area'), int(runs.lengths.sum())
    # the area of a polygon is that of its outline, not of its pixels
    is_rle = isinstance(annotation['segmentation'], dict)
    if is_rle and area is not None and abs(area - pixels) >= 1:
        raise SampleError(f'area {area}, the mask has {pixels} px', 'wrong-area')


def _check_box(annotation: Json, runs: Runs, height: int) -> None:
    bbox, (x0, y0, x1, y1) = annotation.get('bbox'), box_of(runs, height).tolist()
    tight = [x0, y0, x1 - x0, y1 - y0]
    if bbox is not None and np.abs(np.asarray(bbox, float) - tight).max() > BOX_TOLERANCE_PX:
        raise SampleError(f'box {bbox}, that of the mask is {tight}', 'wrong-box')


class _Coverage(NamedTuple):
    """Number of covered pixels, and pairs of masks that overlap."""

    pixels: int
    overlapping: list[tuple[int, int]]


def _cover(all_runs: list[Runs]) -> _Coverage:
    """Count covered pixels and find overlapping pairs, one for each later mask."""
    if not all_runs:
        return _Coverage(0, [])
    starts = np.concatenate([runs.starts for runs in all_runs])
    ends = starts + np.concatenate([runs.lengths for runs in all_runs])
    masks = np.repeat(np.arange(len(all_runs)), [len(runs.starts) for runs in all_runs])
    order = np.argsort(starts, kind='stable')
    starts, ends, masks = starts[order], ends[order], masks[order]
    furthest = np.maximum.accumulate(ends)
    before = np.concatenate(([0], furthest))[:-1]
    pixels = int(np.maximum(ends - np.maximum(starts, before), 0).sum())
    overlapping = np.flatnonzero(starts < before)
    # the run that ends last is one that a run overlaps
    others = masks[np.searchsorted(furthest, before[overlapping])]
    pairs = set(zip(others.tolist(), masks[overlapping].tolist()))
    return _Coverage(pixels, sorted(pair for pair in pairs if pair[0] != pair[1]))


def _check_map(problems: Problems, sample: MapSample) -> SampleSummary:
    """Check size and values of one map."""
    name, path, segments = sample.name, sample.path, sample.segments
    values = None
    with problems.collecting(name):
        values = _read_map(path, segments is None)
    if values is None:
        return SampleSummary(problems, None, None)
    found, counts = np.unique(values, return_counts=True)
    areas = dict(zip(found.tolist(), counts.tolist()))
    unlabelled = areas.pop(IGNORED if segments is None else 0, 0) / values.size
    with problems.collecting(name):
        _check_size(sample, values.shape)
    with problems.collecting(name):
        if segments is None:
            check_classes(path, found, NUM_CLASSES)
        else:
            check_segments(path, areas.keys(), segments)
    with problems.collecting(name):
        _check_areas(areas, segments or [])
    return SampleSummary(problems, len(areas if segments is None else segments), unlabelled)


def _read_map(path: str, is_semantic: bool) -> np.ndarray:
    if not Path(path).is_file():
        raise SampleError('does not exist', 'missing-map')
    with decoding('bad-map', f'{path} cannot be read'), Image.open(path) as image:
        if is_semantic:
            return semantic_values(path, image)
        return ids_of_colours(np.asarray(image.convert('RGB')))


def _check_size(sample: MapSample, actual: Size) -> None:
    if sample.size is None or actual == tuple(sample.size):
        return
    try:
        with Image.open(sample.other_image) as image:
            other: Optional[Size] = (image.height, image.width)
    except OSError:
        other = None
    check_map_size(sample.path, actual, sample.size, other)


def _check_areas(areas: Mapping[int, int], segments: list[Json]) -> None:
    """Compare the areas of the json with those of the map; the first that differs is enough."""
    for segment in segments:
        pixels, area = areas.get(segment['id']), segment.get('area')
        if None not in (pixels, area) and pixels != area:
            raise SampleError(
                f'segment {segment["id"]} has area {area}, the map has {pixels} px', 'wrong-area'
            )
