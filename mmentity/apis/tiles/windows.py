"""Windows of images, read from disk as they are needed.

A file that is small, or of a kind that Pillow alone reads, is decoded once as every image is.
Large ones are read by GDAL (rasterio, the extra ``tiles``): a TIFF block by block, a JPEG or
PNG line by line from its top.
"""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from mmentity.apis.inputs import to_bgr
from mmentity.apis.tiles.grid import Box
from mmentity.datasets.errors import SampleError
from mmentity.datasets.images import DEPTHS, scale_to_8_bits
from mmentity.datasets.rules import IMAGE_ERRORS

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

# pixels up to which a JPEG, PNG or the like is decoded at once: 200 MB of colours
WHOLE_PIXELS = 1 << 26
PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
EXTRA = 'pip install "mmentity[tiles]"'
# rows that are looked through at a time for the largest value of an image of 16 bits
SCAN_ROWS = 512


class Windows(ABC):
    """An image of which parts can be read.

    Attributes:
        height: Height in px.
        width: Width in px.
        georeference: ``crs`` and ``transform`` of a GeoTIFF, for a map of the same place.
    """

    height: int
    width: int
    georeference: dict[str, Any]

    @abstractmethod
    def read(self, box: Box) -> np.ndarray:
        """Read the pixels of a box xyxy px, uint8 BGR ``(h, w, 3)``.

        Raises:
            SampleError: If the file is damaged there.
        """


class ArrayWindows(Windows):
    """Windows of an array, uint8 grey, BGR or BGRA, which may be mapped from a file."""

    def __init__(self, content: np.ndarray) -> None:
        self.content = content
        # its type and shape are checked on the first pixel
        to_bgr(content[:1, :1] if content.ndim in (2, 3) else content)
        self.height, self.width = content.shape[:2]
        self.georeference = {}

    def read(self, box: Box) -> np.ndarray:
        """Copy the pixels of a box."""
        x0, y0, x1, y1 = box
        return to_bgr(self.content[y0:y1, x0:x1])


class RasterWindows(Windows):
    """Windows of a file that GDAL reads.

    Args:
        dataset: The opened file.
        path: Its path.
        depth: Bits that 16-bit values use, see :func:`.scale_to_8_bits`; what is
            ``'auto'`` is decided once, by the largest value of the whole image.
    """

    def __init__(self, dataset: 'DatasetReader', path: str, depth: str = 'auto') -> None:
        self.dataset, self.path = dataset, path
        self.height, self.width = dataset.height, dataset.width
        self.georeference = {}
        if dataset.crs is not None:
            self.georeference = {'crs': dataset.crs, 'transform': dataset.transform}
        self.bands, self.colours = self._layout()
        # values of 1, 2 or 4 bits lie in bytes as they are
        bits = int(dataset.tags(1, ns='IMAGE_STRUCTURE').get('NBITS', 8))
        self.factor = np.uint8(255 // ((1 << bits) - 1) if bits < 8 else 1)
        self.depth = depth
        if depth == 'auto' and np.iinfo(dataset.dtypes[0]).bits > 8:
            self.depth = self._depth_of_all()

    def read(self, box: Box) -> np.ndarray:
        """Read the blocks of a box, and convert its values as those of every image."""
        values = self._values(box)
        if self.colours is not None:
            values = self.colours[values[0]].transpose(2, 0, 1)
        elif values.dtype != np.uint8:
            values = scale_to_8_bits(values.astype(np.int64), self.depth, self.path)
        elif self.factor > 1:
            values = values * self.factor
        return to_bgr(np.ascontiguousarray(values[::-1].transpose(1, 2, 0)))

    def _values(self, box: Box) -> np.ndarray:
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        x0, y0, x1, y1 = box
        try:
            return self.dataset.read(self.bands, window=Window(x0, y0, x1 - x0, y1 - y0))
        except RasterioError as error:
            reason = error.__cause__ or error
            raise SampleError(
                f'{self.path} is damaged at the rows {y0} to {y1}, columns {x0} to {x1} '
                f'({reason}); copy it again',
                'damaged-image',
            ) from error

    def _layout(self) -> tuple[list[int], Optional[np.ndarray]]:
        """Choose the bands that are read, and the RGB of each value where it has a palette."""
        from rasterio.enums import ColorInterp

        meaning, dtype = self.dataset.colorinterp, np.dtype(self.dataset.dtypes[0])
        if not np.issubdtype(dtype, np.integer):
            raise SampleError(
                f'{self.path} holds {dtype} values; save it as 8 or 16 bit', 'bad-values'
            )
        if meaning[0] == ColorInterp.palette:
            colours = np.zeros((np.iinfo(dtype).max + 1, 3), np.uint8)
            for value, colour in self.dataset.colormap(1).items():
                colours[value] = colour[:3]
            return [1], colours
        # further bands are alpha, near infrared and the like
        return ([1, 2, 3] if self.dataset.count >= 3 else [1]), None

    def _depth_of_all(self) -> str:
        """Find the fewest bits that hold every value of the image."""
        largest = 0
        for y0 in range(0, self.height, SCAN_ROWS):
            box = (0, y0, self.width, min(y0 + SCAN_ROWS, self.height))
            largest = max(largest, int(self._values(box).max()))
        # what fits into none is refused, as everywhere
        fitting = [bits for bits in DEPTHS[1:] if largest < 1 << int(bits)]
        return fitting[0] if fitting else 'auto'


@contextmanager
def open_windows(
    image: Union[str, Path, np.ndarray],
    decode: Callable[[str], np.ndarray],
    tile: int,
    depth: str = 'auto',
) -> Iterator[Windows]:
    """Open an image to read parts of it.

    Args:
        image: Path, or array uint8 grey, BGR or BGRA.
        decode: Reads a file as a whole, uint8 BGR ``(H, W, 3)``; for those that are small,
            or turned by EXIF.
        tile: Side of the windows that will be read, row by row, px; GDAL keeps the lines of
            a row of them.
        depth: Bits that 16-bit values use.

    Yields:
        The windows.

    Raises:
        FileNotFoundError: If there is no such file.
        SampleError: If it is no image that can be read.
    """
    if isinstance(image, np.ndarray):
        yield ArrayWindows(image)
        return
    path = os.fspath(image)
    if not os.path.exists(path):
        raise FileNotFoundError(f'{path} does not exist')
    if _is_for_pillow(path):
        yield ArrayWindows(_decoded(path, decode))
        return
    _check_end(path)
    with _opened(path, tile) as dataset:
        yield RasterWindows(dataset, path, depth)


def _is_for_pillow(path: str) -> bool:
    """Whether a file is decoded at once."""
    if find_spec('rasterio') is None:
        return True
    # the first three do not refuse what is large
    for kind in (TiffImageFile, JpegImageFile, PngImageFile, Image.open):
        try:
            with kind(path) as header:
                turned = header.getexif().get(ExifTags.Base.Orientation, 1) != 1
                small = header.width * header.height <= WHOLE_PIXELS
                return turned or (small and kind is not TiffImageFile)
        except IMAGE_ERRORS:
            continue
    return False


def _decoded(path: str, decode: Callable[[str], np.ndarray]) -> np.ndarray:
    try:
        return decode(path)
    except SampleError as error:
        if find_spec('rasterio') is None:
            raise SampleError(f'{error}; to read large images in parts: {EXTRA}') from error
        raise


def _check_end(path: str) -> None:
    """Check that a PNG is whole, since GDAL takes what is missing for black."""
    with open(path, 'rb') as file:
        if file.read(8) != PNG_SIGNATURE:
            return
        file.seek(-min(os.path.getsize(path), 1 << 16), os.SEEK_END)
        if b'IEND' not in file.read():
            raise SampleError(f'{path} is truncated; copy it again', 'damaged-image')


@contextmanager
def _opened(path: str, tile: int) -> Iterator['DatasetReader']:
    import rasterio

    with rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING=True):
        with _open(path) as dataset:
            row = dataset.width * dataset.count * np.dtype(dataset.dtypes[0]).itemsize
            rows = min(tile, dataset.height) + SCAN_ROWS
        # enough that no line of a row of tiles is decoded twice
        with rasterio.Env(GDAL_CACHEMAX=rows * row + (1 << 24)), _open(path) as dataset:
            yield dataset


def _open(path: str) -> 'DatasetReader':
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            return rasterio.open(path)
    except RasterioError as error:
        raise SampleError(
            f'{path} is no image that can be read ({error}); convert it to TIFF, PNG or JPEG',
            'damaged-image',
        ) from error
