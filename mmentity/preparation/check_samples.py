"""Check of one sample: the rules of the loader, and what only makes it suspicious.

Runs in worker processes. Masks are checked on their runs, without decoding them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

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
from mmentity.structures.id_map import ids_of_colours
from mmentity.structures.rle import Runs, box_of

Json = dict[str, Any]
NUM_CLASSES = len(semantic_categories())
BOX_TOLERANCE_PX = 2


class Finding(NamedTuple):
    """One problem of a sample.

    Attributes:
        kind: Kind of the problem.
        item: Annotation, or '' for the whole sample.
        detail: What was found.
    """

    kind: str
    item: str
    detail: str


class SampleSummary(NamedTuple):
    """What was found in one sample.

    Attributes:
        findings: Its problems.
        entities: Number of masks, segments or classes; None where a map cannot be read.
        unlabelled: Share of pixels without an entity, 0..1; None where it is not known.
    """

    findings: list[Finding]
    entities: Optional[int]
    unlabelled: Optional[float]


class MaskSample(NamedTuple):
    """The annotations of one image of ``size`` (height, width) px, as the json has them."""

    size: Size
    annotations: list[Json]


class MapSample(NamedTuple):
    """One semantic or panoptic map.

    Attributes:
        path: The PNG.
        size: ``(height, width)`` px of its image, or None where unknown.
        other_image: The same image in the other resolution.
        segments: ``segments_info`` of a panoptic map; None for a semantic one.
    """

    path: str
    size: Optional[Size]
    other_image: str
    segments: Optional[list[Json]]


@contextmanager
def _collecting(findings: list[Finding], item: str = '') -> Iterator[None]:
    """Add the error of a rule to the findings."""
    try:
        yield
    except SampleError as error:
        findings.append(Finding(error.kind, item, str(error)))


def check_sample(sample: Union[MaskSample, MapSample]) -> SampleSummary:
    """Check the masks or the map of one image."""
    return _check_masks(sample) if isinstance(sample, MaskSample) else _check_map(sample)


def _check_masks(sample: MaskSample) -> SampleSummary:
    """Check masks, their areas and boxes, and whether they overlap."""
    findings: list[Finding] = []
    names: list[str] = []
    all_runs: list[Runs] = []
    for annotation in sample.annotations:
        item = f'annotation {annotation["id"]}'
        with _collecting(findings, item):
            all_runs.append(mask_runs(annotation['segmentation'], sample.size))
            names.append(item)
            findings += _check_numbers(item, annotation, all_runs[-1], sample.size[0])
    coverage = _cover(all_runs)
    for first, second in coverage.overlapping:
        findings.append(Finding('overlap', names[first], f'shares pixels with {names[second]}'))
    complete = len(all_runs) == len(sample.annotations)
    unlabelled = 1 - coverage.pixels / (sample.size[0] * sample.size[1]) if complete else None
    return SampleSummary(findings, len(sample.annotations), unlabelled)


def _check_map(sample: MapSample) -> SampleSummary:
    """Check size and values of one map."""
    path, segments = sample.path, sample.segments
    if not Path(path).is_file():
        return SampleSummary([Finding('missing-map', '', 'does not exist')], None, None)
    findings: list[Finding] = []
    values = np.zeros((0, 0))
    damaged = decoding('bad-map', f'{path} cannot be read')
    with _collecting(findings), damaged, Image.open(path) as image:
        if segments is None:
            values = semantic_values(path, image)
        else:
            values = ids_of_colours(np.asarray(image.convert('RGB')))
    if not values.size:
        return SampleSummary(findings, None, None)
    found, counts = np.unique(values, return_counts=True)
    areas = dict(zip(found.tolist(), counts.tolist()))
    unlabelled = areas.pop(IGNORED if segments is None else 0, 0) / values.size
    with _collecting(findings):
        _check_size(sample, values.shape)
    with _collecting(findings):
        if segments is None:
            check_classes(path, found, NUM_CLASSES)
        else:
            check_segments(path, areas.keys(), segments)
    if segments is None:
        return SampleSummary(findings, len(areas), unlabelled)
    findings += _check_areas(areas, segments)
    return SampleSummary(findings, len(segments), unlabelled)


def _check_numbers(item: str, annotation: Json, runs: Runs, height: int) -> Iterator[Finding]:
    """Compare the area and the box of the json with those of the mask."""
    pixels = int(runs.lengths.sum())
    if pixels == 0:
        yield Finding('empty-mask', item, 'no pixel')
        return
    area, bbox = annotation.get('area'), annotation.get('bbox')
    # the area of a polygon is that of its outline, not of its pixels
    is_rle = isinstance(annotation['segmentation'], dict)
    if is_rle and area is not None and abs(area - pixels) >= 1:
        yield Finding('wrong-area', item, f'area {area}, the mask has {pixels} px')
    if bbox is not None:
        x0, y0, x1, y1 = box_of(runs, height).tolist()
        tight = [x0, y0, x1 - x0, y1 - y0]
        if np.abs(np.asarray(bbox, float) - tight).max() > BOX_TOLERANCE_PX:
            yield Finding('wrong-box', item, f'box {bbox}, that of the mask is {tight}')


class _Coverage(NamedTuple):
    """Number of covered pixels, and pairs of masks that overlap."""

    pixels: int
    overlapping: list[tuple[int, int]]


def _cover(all_runs: list[Runs]) -> _Coverage:
    """Count covered pixels and find overlapping pairs, one for each later mask."""
    starts = np.concatenate([np.zeros(0, int), *(runs.starts for runs in all_runs)])
    if not starts.size:
        return _Coverage(0, [])
    ends = starts + np.concatenate([runs.lengths for runs in all_runs])
    masks = np.repeat(np.arange(len(all_runs)), [len(runs.starts) for runs in all_runs])
    order = np.argsort(starts, kind='stable')
    starts, ends, masks = starts[order], ends[order], masks[order]
    furthest = np.maximum.accumulate(ends)
    before = np.concatenate(([0], furthest[:-1]))
    pixels = int(np.maximum(ends - np.maximum(starts, before), 0).sum())
    pairs = set()
    for index in np.flatnonzero(starts < before):
        # the run that ends last is one that this run overlaps
        other = masks[int(np.searchsorted(furthest, before[index]))]
        if other != masks[index]:
            pairs.add((int(other), int(masks[index])))
    return _Coverage(pixels, sorted(pairs))


def _check_size(sample: MapSample, actual: Size) -> None:
    if sample.size is None or actual == tuple(sample.size):
        return
    try:
        with Image.open(sample.other_image) as image:
            other: Optional[Size] = (image.height, image.width)
    except OSError:
        other = None
    check_map_size(sample.path, actual, sample.size, other)


def _check_areas(areas: dict[int, int], segments: list[Json]) -> Iterator[Finding]:
    """Compare the areas of the json with those of the map; the first that differs is enough."""
    for segment in segments:
        pixels, area = areas.get(segment['id']), segment.get('area')
        if None not in (pixels, area) and pixels != area:
            detail = f'segment {segment["id"]} has area {area}, the map has {pixels} px'
            yield Finding('wrong-area', '', detail)
            return
