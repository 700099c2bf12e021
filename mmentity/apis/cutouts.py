"""Square cut-outs of entities, as image encoders such as CLIP take them."""

from collections.abc import Iterator
from typing import Optional

import numpy as np
from PIL import Image, ImageFilter

from mmentity.apis.result import EntityResult

BACKGROUNDS = ('keep', 'blur', 'remove')
# CLIP's mean colour, RGB: what it normalises to 0
EMPTY = (122, 116, 104)
# of the side of the cut-out
BLUR_SIGMA = 0.05


def check_crop_options(background: str, pad: float, size: int) -> None:
    """Raise a ValueError unless :func:`entity_crops` takes these options."""
    if background not in BACKGROUNDS:
        raise ValueError(f'background is {background!r}; it must be one of {BACKGROUNDS}')
    if not 0 <= pad < np.inf:
        raise ValueError(f'pad is {pad}; it is a share of the side of the box, 0 or more')
    if size < 1:
        raise ValueError(f'size is {size}; it is a side in px, at least 1')


def entity_crops(
    image: Optional[np.ndarray],
    result: EntityResult,
    background: str = 'keep',
    pad: float = 0.1,
    size: int = 224,
) -> Iterator[np.ndarray]:
    """Cut a square around each entity.

    The square is around the middle of the entity's box and moves into the image where it can;
    what of it lies outside, since it is larger than the image, has CLIP's mean colour, which CLIP
    normalises to 0. It is resized as CLIP does, bicubically with antialiasing.

    Args:
        image: uint8 RGB ``(H, W, 3)``; None for the one that the result kept.
        result: K entities.
        background: What is not the entity: ``'keep'`` leaves it, ``'blur'`` blurs it,
            ``'remove'`` puts CLIP's mean colour in its place.
        pad: Room on each side, as a share of the longer side of the box, up to a square as large
            as the longer side of the image.
        size: Side of the cut-outs in px.

    Yields:
        uint8 RGB ``(size, size, 3)`` of each entity.

    Raises:
        ValueError: If an option is none of the above, or the image has another size.

    Examples:
        >>> result = inferencer.predict('street.jpg')
        >>> crops = np.stack(list(entity_crops(None, result, background='blur')))
    """
    check_crop_options(background, pad, size)
    image = result.checked_image(image)
    return _crops(image, result, background, pad, size)


def _crops(
    image: np.ndarray, result: EntityResult, background: str, pad: float, size: int
) -> Iterator[np.ndarray]:
    for row, box in enumerate(result.boxes_xyxy_px.tolist()):
        square = square_around(box, pad, result.height, result.width)
        crop = _cut(image, square, EMPTY).resize((size, size), Image.Resampling.BICUBIC)
        cut = np.array(crop)
        if background == 'keep':
            yield cut
            continue
        x0, y0, x1, y1 = box
        mask = np.zeros((square[3] - square[1], square[2] - square[0]), dtype=np.uint8)
        inside = result.lazy_map.mask(row, box)
        mask[y0 - square[1] : y1 - square[1], x0 - square[0] : x1 - square[0]] = inside * 255
        small = Image.fromarray(mask).resize((size, size), Image.Resampling.BILINEAR)
        alpha = np.asarray(small, dtype=np.float32)[..., None] / 255
        yield (alpha * cut + (1 - alpha) * _behind(cut, background)).round().astype(np.uint8)


def square_around(
    box_xyxy_px: list[int], pad: float, height: int, width: int
) -> tuple[int, int, int, int]:
    """Return the square around a box, moved into the image along each side where it fits.

    Args:
        box_xyxy_px: Box of an entity.
        pad: Room on each side, as a share of its longer side.
        height: Height of the image in px.
        width: Its width.

    Returns:
        xyxy px, right and bottom exclusive; what does not fit hangs out on both sides alike.
    """
    x0, y0, x1, y1 = box_xyxy_px
    padded = round(max(x1 - x0, y1 - y0) * (1 + 2 * pad))
    # room beyond the image would show nothing
    side = max(1, min(padded, max(height, width)))
    left = _place((x0 + x1 - side) // 2, side, width)
    top = _place((y0 + y1 - side) // 2, side, height)
    return left, top, left + side, top + side


def _place(start: int, side: int, length: int) -> int:
    if side > length:
        return (length - side) // 2
    return min(max(start, 0), length - side)


def _cut(image: np.ndarray, square: tuple[int, int, int, int], empty: tuple) -> Image.Image:
    """Cut a square that may hang out of the image."""
    x0, y0, x1, y1 = square
    height, width = image.shape[:2]
    left, top = max(x0, 0), max(y0, 0)
    inside = Image.fromarray(image[top : min(y1, height), left : min(x1, width)])
    if inside.size == (x1 - x0, y1 - y0):
        return inside
    cut = Image.new('RGB', (x1 - x0, y1 - y0), empty)
    cut.paste(inside, (left - x0, top - y0))
    return cut


def _behind(cut: np.ndarray, background: str) -> np.ndarray:
    """Make what stands behind an entity, of the type of its cut-out."""
    if background == 'remove':
        return np.full_like(cut, EMPTY)
    blurred = Image.fromarray(cut).filter(ImageFilter.GaussianBlur(BLUR_SIGMA * len(cut)))
    return np.asarray(blurred)
