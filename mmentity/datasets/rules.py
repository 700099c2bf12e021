"""What a valid sample is.

Each rule raises a :class:`SampleError` with the kind of the problem. The
transforms apply the rules to the samples that they load, and the check of a
data set (:mod:`mmentity.preparation.check`) to all of them.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any, Optional

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmentity.datasets.categories import IGNORED
from mmentity.datasets.errors import SampleError
from mmentity.datasets.geometry import Size, shortest_edge_size
from mmentity.datasets.images import heif_hint
from mmentity.structures.rle import (
    Runs,
    RunsSizeError,
    Segmentation,
    check_segmentation,
    runs_of,
)

# the low-resolution images of EntitySeg, px
LOW_SHORT_SIDE, LOW_LONG_SIDE = 800, 1333
# EXIF orientations from 5 on swap height and width
ORIENTATION, FIRST_TURNED = 0x0112, 5
SEMANTIC_MODES = ('L', 'P', 'I;16', 'I')
# what Pillow raises on files that are damaged or no images
IMAGE_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@contextmanager
def decoding(kind: str, problem: str, hint: str = '') -> Iterator[None]:
    """Turn what Pillow raises in the block into a :class:`SampleError` that says the problem."""
    try:
        yield
    except SampleError:
        raise
    except IMAGE_ERRORS as error:
        raise SampleError(
            f'{problem} ({reason_of(error)}){"; " + hint if hint else ""}', kind
        ) from error


def reason_of(error: Exception) -> str:
    """Say why Pillow could not read an image, without the address of its stream."""
    if isinstance(error, UnidentifiedImageError):
        return 'its content is of no known image format'
    return str(error)


@contextmanager
def decoding_image(path: str) -> Iterator[None]:
    """Turn what Pillow raises on an image into a :class:`SampleError`."""
    hint = heif_hint(path) or 'download it again'
    with decoding('bad-image', f'{path} is not a complete image', hint):
        try:
            yield
        except Image.DecompressionBombError as error:
            limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise SampleError(
                f'{path} has more than {limit:,} pixels, the limit that guards Pillow against '
                'decompression bombs; raise it with --max-pixels, or set '
                'PIL.Image.MAX_IMAGE_PIXELS to half of what you allow',
                'too-large',
            ) from error


def probe_image(path: str) -> Size:
    """Return ``(height, width)`` px, EXIF applied; decodes coarsely to find a truncated file."""
    with decoding_image(path), Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(ORIENTATION, 1) >= FIRST_TURNED
        image.draft('RGB', (max(1, width // 8), max(1, height // 8)))
        image.load()
        return (width, height) if turned else (height, width)


def check_image_size(path: str, actual: Size, expected: Sequence[Optional[int]]) -> None:
    """Check the ``(height, width)`` px of an image against those of its annotation, if known."""
    height, width = expected
    if height is None or width is None or actual == (height, width):
        return
    if actual == (width, height):
        hint = 'it was rotated after annotation; use the original file'
    elif max(actual) < max(height, width):
        hint = 'it looks like a low-resolution image; use the *_lr annotation file'
    else:
        hint = 'it looks like a high-resolution image; use the annotation file without _lr'
    raise SampleError(
        f'{path} is {actual[0]}x{actual[1]} (height x width), its annotation is for '
        f'{height}x{width}; {hint}',
        'image-size',
    )


def mask_runs(segmentation: Segmentation, size: Size) -> Runs:
    """Read the runs of one COCO segmentation of an image of ``(height, width)`` px."""
    with _reading_mask():
        return runs_of(segmentation, *size)


def instance_runs(instance: Mapping[str, Any], size: Size) -> Runs:
    """Read the runs of an instance of a sample; the error names its annotation."""
    with _naming_annotation(instance):
        return mask_runs(instance['mask'], size)


def check_instance(instance: Mapping[str, Any], size: Size) -> None:
    """Check the form of the mask of an instance, at little cost; the error names its annotation."""
    with _naming_annotation(instance), _reading_mask():
        check_segmentation(instance['mask'], *size)


@contextmanager
def naming_sample(info: Mapping[str, Any]) -> Iterator[None]:
    """Add to a :class:`SampleError` of the block whose annotation it is about."""
    try:
        yield
    except SampleError as error:
        raise SampleError(
            f'the annotation of {info["img_path"]} (image id {info.get("img_id")}) is '
            f'unusable: {error}',
            error.kind,
        ) from error


@contextmanager
def _reading_mask() -> Iterator[None]:
    try:
        yield
    except RunsSizeError as error:
        raise SampleError(str(error), 'mask-size') from error
    except (ValueError, TypeError, OverflowError) as error:
        raise SampleError(f'a segmentation cannot be read: {error}', 'bad-mask') from error


@contextmanager
def _naming_annotation(instance: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except SampleError as error:
        # ids are optional in COCO's instance json
        place = f'annotation {instance["id"]}: ' if 'id' in instance else ''
        raise SampleError(f'{place}{error}', error.kind) from error


def check_map_size(
    path: str, actual: Size, expected: Size, other_resolution: Optional[Size] = None
) -> None:
    """Check the size of a map against that of its image.

    Args:
        path: The map.
        actual: ``(height, width)`` px of the map.
        expected: Those of the image.
        other_resolution: Those of the same image in the other resolution, if known.
    """
    if actual == tuple(expected):
        return
    low_image, low_map = (
        shortest_edge_size(*size, LOW_SHORT_SIDE, LOW_LONG_SIDE) for size in (expected, actual)
    )
    kind = 'map-of-other-resolution'
    if _is_about(actual, low_image):
        hint = 'the map fits the low-resolution image; use images_lr or the high-resolution map'
    elif _is_about(expected, low_map):
        hint = 'the image is the low-resolution one; use images or the low-resolution map'
    elif actual == other_resolution:
        hint = 'the map fits the image of the other resolution; set data_prefix to its folder'
    else:
        kind = 'map-size'
        hint = 'it fits the low-resolution image neither; download both files again'
    raise SampleError(
        f'{path} is {actual[0]}x{actual[1]}, the image is {expected[0]}x{expected[1]} '
        f'(height x width); {hint}',
        kind,
    )


def semantic_values(path: str, image: Image.Image) -> np.ndarray:
    """Read the values of an opened semantic map, ``(H, W)``."""
    if image.mode not in SEMANTIC_MODES:
        raise SampleError(
            f'{path} is of mode {image.mode}; a semantic map has one channel of class numbers',
            'bad-map',
        )
    return np.asarray(image)


def check_classes(path: str, values: np.ndarray, num_classes: int) -> None:
    """Check that the distinct values of a semantic map are classes or the one to ignore."""
    unknown = values[(values >= num_classes) & (values != IGNORED)]
    if len(unknown):
        raise SampleError(
            f'{path} holds the value {unknown[-1]}; classes are 0 to {num_classes - 1}, and '
            f'{IGNORED} is to be ignored',
            'unknown-class-in-map',
        )


def check_segments(path: str, found: Set[int], segments: Sequence[Mapping[str, Any]]) -> None:
    """Check that a panoptic PNG holds the segments that its json lists.

    Args:
        path: The PNG.
        found: Ids of the PNG, without 0.
        segments: Entries of ``segments_info``; those of area 0 may be absent.
    """
    listed = {segment['id'] for segment in segments}
    missing = {segment['id'] for segment in segments if segment.get('area') != 0} - found
    for ids, problem in (
        (found - listed, 'has segments that its json does not list'),
        (missing, 'lacks segments that its json lists'),
    ):
        if ids:
            shown = ', '.join(map(str, sorted(ids)[:5])) + (', ...' if len(ids) > 5 else '')
            raise SampleError(
                f'{path} {problem} ({shown}); json and PNGs must come from the same release',
                'segments-differ',
            )


def _is_about(size: Size, other: Size) -> bool:
    """Whether two sizes differ by no more than rounding."""
    return all(abs(a - b) <= 1 for a, b in zip(size, other))
