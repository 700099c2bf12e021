"""From decoded images of any common kind to 8-bit BGR."""

import io
from contextlib import suppress
from typing import Optional

import numpy as np
from PIL import Image, ImageOps, features

from mmentity.datasets.errors import SampleError
from mmentity.utils.dependencies import import_opencv
from mmentity.utils.logs import get_logger

DEPTHS = ('auto', '8', '10', '12', '14', '16')
HEIF_SUFFIXES = ('.heic', '.heif')
# phones put a preview or a map of brightness beside the one image of a photograph
ONE_IMAGE = ('MPO',)
# ends of the raw modes of Pillow for colours of 16 bits, whose lower halves it drops
DEEP_COLOURS = (';16B', ';16L', ';16N')
ORIENTATION = 0x0112

with suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()


def _extra_suffixes() -> tuple[str, ...]:
    """Suffixes of formats that Pillow reads where it was built, or extended, for them."""
    known = Image.registered_extensions()
    there = [suffix for suffix in ('.avif', *HEIF_SUFFIXES) if suffix in known]
    return (*there, *(('.jp2',) if features.check('jpg_2000') else ()))


EXTRA_SUFFIXES = _extra_suffixes()


def open_image(data: bytes) -> Image.Image:
    """Open an encoded image; of several frames, the first."""
    return Image.open(io.BytesIO(data))


def number_of_frames(image: Image.Image) -> int:
    """Return the number of frames or pages of an opened file."""
    return 1 if image.format in ONE_IMAGE else getattr(image, 'n_frames', 1)


def decode_bgr(data: bytes, path: str, depth: str = 'auto') -> np.ndarray:
    """Decode a file like :func:`pil_to_bgr`, colours of 16 bits included.

    Args:
        data: Content of the file.
        path: Its name, for what is said once: that there are further frames, or that
            16-bit values are taken for fewer bits.
        depth: See :func:`pil_to_bgr`.
    """
    image = open_image(data)
    if number_of_frames(image) > 1:
        _say_frames(path, number_of_frames(image))
    if _is_deep(image):
        cv2 = import_opencv('colours of 16 bits')
        deep = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        )
        if deep is not None and deep.dtype == np.uint16 and deep.ndim == 3:
            small = Image.fromarray(scale_to_8_bits(deep[..., 2::-1], depth, path))
            small.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
            image = small
    return pil_to_bgr(image, depth, path)


def pil_to_bgr(image: Image.Image, depth: str = 'auto', path: str = 'an image') -> np.ndarray:
    """Convert a PIL image: EXIF orientation applied, alpha dropped, 16 bits scaled to 8.

    Args:
        image: PIL image.
        depth: Bits that 16-bit grey values use, one of ``DEPTHS``; ``'auto'`` is the
            smallest that holds the largest value of the image, which is said once.
        path: Its name, for what is said.

    Returns:
        uint8 BGR ``(H0, W0, 3)``.

    Raises:
        SampleError: If values do not fit into the depth or are floating point.
        OSError: If its file is truncated.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I;16') or image.mode == 'I':
        image = Image.fromarray(scale_to_8_bits(np.asarray(image, np.int64), depth, path))
    elif image.mode == 'F':
        raise SampleError(
            f'{path} holds floating point values; save it as 8 or 16 bit', 'bad-values'
        )
    return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])


def scale_to_8_bits(values: np.ndarray, depth: str = 'auto', path: str = 'an image') -> np.ndarray:
    """Scale values of a number of bits to 0..255, uint8.

    Args:
        values: Integers of any shape.
        depth: One of ``DEPTHS``.
        path: Name of the image.

    Raises:
        SampleError: If a value does not fit.
        ValueError: If there is no such depth.
    """
    if depth not in DEPTHS:
        raise ValueError(f'depth is {depth!r}; it must be one of {", ".join(DEPTHS)}')
    lowest, largest = int(values.min(initial=0)), int(values.max(initial=0))
    fitting = [int(bits) for bits in DEPTHS[1:] if largest < 1 << int(bits)]
    bits = int(depth) if depth != 'auto' else fitting[0] if fitting else 16
    if lowest < 0 or largest >= 1 << bits:
        wider = '' if depth == 'auto' or not fitting else f'; --depth {fitting[0]} or auto holds it'
        raise SampleError(
            f'{path} has values {lowest}..{largest}, {bits} bits hold 0..{(1 << bits) - 1}{wider}',
            'bad-values',
        )
    if depth == 'auto' and bits < 16:
        _say_depth(path, largest, bits)
    # exact for 8 and 16 bits: 255 and 65535 are multiples of 255
    return (values.astype(np.uint32) * 255 // ((1 << bits) - 1)).astype(np.uint8)


def heif_hint(path: str) -> Optional[str]:
    """Return the command that lets Pillow read a file, where it takes one."""
    if path.lower().endswith(HEIF_SUFFIXES) and not set(HEIF_SUFFIXES) & set(EXTRA_SUFFIXES):
        return 'pip install "mmentity[heif]" to read it'
    return None


def _is_deep(image: Image.Image) -> bool:
    """Whether an opened image has colours of 16 bits, which Pillow reads as 8."""
    tiles = getattr(image, 'tile', None) or ()
    arguments = [tile[3] for tile in tiles[:1]]
    modes = [a[0] if isinstance(a, tuple) and a else a for a in arguments]
    return any(isinstance(m, str) and m.endswith(DEEP_COLOURS) and m[:3] == 'RGB' for m in modes)


# once in each process: one line tells of a whole folder
_SAID: set[str] = set()


def _say_once(kind: str, text: str) -> None:
    if kind not in _SAID:
        _SAID.add(kind)
        get_logger().warning(text)


def _say_depth(path: str, largest: int, bits: int) -> None:
    _say_once(
        'depth',
        f'{path} has 16-bit values up to {largest} and is taken for an image of {bits} bits, as '
        'are others like it; --depth says how many there are (16 takes values as they are)',
    )


def _say_frames(path: str, number: int) -> None:
    _say_once(
        'frames',
        f'{path} has {number} frames or pages, of which the first is taken, as of others like it; '
        '--frames takes all',
    )
