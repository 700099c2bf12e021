"""COCO run-length encodings as arrays of runs, without decoding to masks.

COCO counts pixels column by column, so a run is a stretch of the flattened
transpose of an image. Encoding and decoding of the compressed text follow the
format of pycocotools, which stays the reference in the tests.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional, TypedDict, Union

import numpy as np


class Rle(TypedDict):
    """One mask in COCO's compressed run-length encoding.

    Attributes:
        size: Height and width in px.
        counts: Lengths of background and foreground runs in turn, as pycocotools
            writes them.
    """

    size: list[int]
    counts: bytes


# an RLE, compressed or not, or a list of polygons, each ``[x, y, x, y, ...]`` in px
Segmentation = Union[Rle, Mapping[str, Any], list]


class RunsSizeError(ValueError):
    """The size of an RLE is not that of its image."""


class Runs(NamedTuple):
    """Foreground runs of one mask, in column-major order.

    Attributes:
        starts: First pixel of each run, int64 ``(R,)``.
        lengths: Pixels of each run, int64 ``(R,)``, all positive.
    """

    starts: np.ndarray
    lengths: np.ndarray


def runs_of(segmentation: Segmentation, height: int, width: int) -> Runs:
    """Read the foreground runs of one COCO segmentation.

    Args:
        segmentation: Compressed or uncompressed RLE, or a list of polygons in px.
        height: Height of the image in px.
        width: Width of the image in px.

    Raises:
        ValueError: If it is no COCO segmentation, see :func:`check_segmentation`, or
            the runs of an RLE do not add up to the pixels of the image.
    """
    check_segmentation(segmentation, height, width)
    if isinstance(segmentation, list):
        from pycocotools import mask as mask_utils

        rle = mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    else:
        rle = segmentation
    counts = rle['counts']
    if not isinstance(counts, (list, tuple)):
        counts = _parse_counts(counts)
    counts = np.asarray(counts, dtype=np.int64)
    if counts.sum() != height * width or (counts < 0).any():
        raise ValueError(
            f'an RLE covers {counts.sum()} pixels, its image has {height * width}; '
            'the text of its counts is damaged'
        )
    ends = np.cumsum(counts)[1::2]
    lengths = counts[1::2]
    filled = lengths > 0
    return Runs((ends - lengths)[filled], lengths[filled])


def check_segmentation(segmentation: Any, height: int, width: int) -> None:
    """Check the form of one COCO segmentation, without decoding it.

    pycocotools takes a first polygon of two points for a box, and ends the process
    on coordinates that are far away.

    Args:
        segmentation: What an annotation has for its mask.
        height: Height of the image in px.
        width: Width of the image in px.

    Raises:
        ValueError: If it is neither an RLE of ``(height, width)`` nor a list of
            polygons of three or more points each.
    """
    if isinstance(segmentation, Mapping):
        _check_rle(segmentation, height, width)
    elif not isinstance(segmentation, list):
        raise ValueError(f'it is {str(segmentation)[:40]!r}, neither an RLE nor a list of polygons')
    elif not segmentation:
        raise ValueError('it is an empty list, it has no polygon')
    else:
        for number, polygon in enumerate(segmentation, start=1):
            problem = _problem_of_polygon(polygon, 10 * max(height, width))
            if problem:
                raise ValueError(f'polygon {number} of {len(segmentation)} {problem}')


def _check_rle(rle: Mapping[str, Any], height: int, width: int) -> None:
    missing = [key for key in ('size', 'counts') if key not in rle]
    if missing:
        raise ValueError(f'an RLE has no {" and no ".join(missing)}')
    size = rle['size']
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise ValueError(f'the size of an RLE is {size!r}; it must be [height, width]')
    if tuple(size) != (height, width):
        raise RunsSizeError(
            f'an RLE of size {size[0]}x{size[1]} (height x width) does not fit '
            f'an image of {height}x{width}'
        )


def _problem_of_polygon(polygon: Any, farthest_px: float) -> str:
    """Say what is wrong with one polygon, if anything is."""
    if not isinstance(polygon, (Sequence, np.ndarray)) or isinstance(polygon, str):
        return f'is {str(polygon)[:40]!r}; a segmentation is a list of lists, [[x, y, x, y, ...]]'
    try:
        coordinates = np.asarray(polygon)
    except ValueError:  # lists of several lengths inside
        return 'is no flat list [x, y, x, y, ...]'
    if coordinates.size and (coordinates.ndim != 1 or coordinates.dtype.kind not in 'iuf'):
        return 'is no flat list [x, y, x, y, ...] of numbers'
    if coordinates.size % 2:
        return f'has {coordinates.size} coordinates; each x needs its y'
    if coordinates.size < 6:
        return f'has {coordinates.size // 2} points; three or more make an area'
    # also False for NaN
    if not (np.abs(coordinates) <= farthest_px).all():
        return 'has points far outside of the image'
    return ''


def _parse_counts(text: Union[str, bytes]) -> np.ndarray:
    """Parse the compressed counts of pycocotools.

    Each character carries 5 bits and a continuation bit; the last one of a
    number is sign-extended. From the fourth number on a count is stored as the
    difference from the count two places before.
    """
    data = text.encode() if isinstance(text, str) else text
    codes = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return codes
    if (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        raise ValueError('the counts of an RLE hold characters outside the format')
    last = (codes & 32) == 0
    first = np.flatnonzero(np.concatenate(([True], last[:-1])))
    place = np.arange(codes.size) - np.repeat(first, np.diff(np.append(first, codes.size)))
    values = np.add.reduceat((codes & 31) << (5 * place), first)
    negative = (codes[last] & 16) != 0
    values[negative] -= np.int64(1) << (5 * (place[last][negative] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def paint_runs(
    runs: Sequence[Runs], ids: np.ndarray, height: int, width: int
) -> Optional[np.ndarray]:
    """Paint disjoint masks into one map in a single pass.

    Args:
        runs: One :class:`Runs` for each mask.
        ids: Value of each mask, int ``(N,)``.
        height: Height of the map in px.
        width: Width of the map in px.

    Returns:
        int32 ``(H, W)`` map, 0 where no mask is, or None if two masks overlap.
    """
    starts = np.concatenate([r.starts for r in runs] or [np.zeros(0, np.int64)])
    lengths = np.concatenate([r.lengths for r in runs] or [np.zeros(0, np.int64)])
    values = np.repeat(ids, [len(r.starts) for r in runs])
    order = np.argsort(starts, kind='stable')
    starts, lengths, values = starts[order], lengths[order], values[order]
    ends = starts + lengths
    gaps = starts - np.concatenate(([0], ends[:-1])) if starts.size else starts
    if (gaps < 0).any():
        return None
    stretches = np.stack([gaps, lengths], axis=1).ravel()
    painted = np.stack([np.zeros_like(values), values], axis=1).ravel().astype(np.int32)
    tail = height * width - (ends[-1] if ends.size else 0)
    flat = np.repeat(np.append(painted, np.int32(0)), np.append(stretches, tail))
    return flat.reshape(width, height).T


def box_of(runs: Runs, height: int) -> np.ndarray:
    """Tight box of a mask that has pixels, int64 xyxy px, right and bottom exclusive."""
    left, last = runs.starts[0] // height, runs.starts[-1] + runs.lengths[-1] - 1
    right = last // height + 1
    tops = runs.starts % height
    bottom = (tops + runs.lengths).max()
    if bottom > height:
        # a run that continues in the next column touches the lower and the upper edge
        return np.array([left, 0, right, height])
    return np.array([left, tops.min(), right, bottom])


def pixels_of(runs: Runs) -> np.ndarray:
    """Column-major index of every pixel of a mask, int64 ``(area,)``."""
    offsets = np.cumsum(runs.lengths) - runs.lengths
    return np.repeat(runs.starts - offsets, runs.lengths) + np.arange(runs.lengths.sum())


def encode_map(ids: np.ndarray, num_entities: int) -> list[Rle]:
    """Encode each entity of one map as a compressed COCO RLE.

    Args:
        ids: int ``(H, W)``, 0 = no entity, k = entity k.
        num_entities: Number of entities K.

    Returns:
        K encodings with ``counts`` as bytes; entities without a pixel are empty.
    """
    height, width = ids.shape
    flat = ids.T.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    order = np.argsort(values, kind='stable')
    bounds = np.searchsorted(values[order], np.arange(1, num_entities + 2))
    rles = []
    for low, high in zip(bounds[:-1], bounds[1:]):
        runs = order[low:high]
        edges = np.stack([starts[runs], ends[runs]], axis=1).ravel()
        ends_filled = edges.size and edges[-1] == flat.size
        borders = edges if ends_filled else np.append(edges, flat.size)
        rle = {'size': [height, width], 'counts': np.diff(borders, prepend=0).tolist()}
        rles.append(compress(rle))
    return rles


def encode_patches(patches: Sequence[tuple[np.ndarray, int, int]], height: int, width: int) -> Rle:
    """Encode one mask that is given in disjoint patches as a compressed COCO RLE.

    Costs the pixels of the patches, not those of the image.

    Args:
        patches: For each, its mask bool ``(h, w)`` and its corner ``x0``, ``y0`` in px.
        height: Height of the image in px.
        width: Width of the image in px.

    Returns:
        Encoding with ``counts`` as bytes.
    """
    all_starts, all_ends = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for mask, x0, y0 in patches:
        # a row of zeros below keeps the runs of neighbouring columns apart
        columns = np.zeros((mask.shape[1], mask.shape[0] + 1), dtype=np.int8)
        columns[:, :-1] = mask.T
        change = np.diff(columns.ravel(), prepend=np.int8(0))
        for edges, value in ((all_starts, 1), (all_ends, -1)):
            column, row = np.divmod(np.flatnonzero(change == value), columns.shape[1])
            edges.append((column + x0) * height + row + y0)
    starts, ends = np.sort(np.concatenate(all_starts)), np.sort(np.concatenate(all_ends))
    joined = starts[1:] == ends[:-1]
    starts = starts[np.append(True, ~joined)[: len(starts)]]
    ends = ends[np.append(~joined, True)[: len(ends)]]
    borders = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(np.append(borders, height * width), prepend=0).tolist()
    if len(borders) and borders[-1] == height * width:
        counts.pop()
    return compress({'size': [height, width], 'counts': counts})


def compress(rle: dict[str, Any]) -> Rle:
    """Compress the counts of an RLE ``{'size': [height, width], 'counts': [...]}``."""
    # only here, so that maps can be predicted and written without it
    from pycocotools import mask as mask_utils

    return mask_utils.frPyObjects(rle, *rle['size'])
