"""Maps of ids that are written some rows at a time: TIFF in blocks, PNG."""

import struct
import warnings
import zlib
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mmentity.apis.tiles.joining import BAND_ROWS
from mmentity.apis.tiles.windows import EXTRA, PNG_SIGNATURE
from mmentity.utils.files import whole_file

TIFF_SUFFIXES = ('.tif', '.tiff')
MAP_SUFFIXES = (*TIFF_SUFFIXES, '.png')
DTYPES: dict[str, type[np.unsignedinteger]] = {
    'uint8': np.uint8,
    'uint16': np.uint16,
    'uint32': np.uint32,
}


def check_map_path(path: Path) -> None:
    """Check, before the work, that a map of this name can be written.

    Raises:
        ValueError: If it is no name of a TIFF or PNG.
        ImportError: If the library that writes TIFFs is missing.
    """
    if path.suffix.lower() not in MAP_SUFFIXES:
        raise ValueError(f'the map is called {path}; its name must end in .tif or .png')
    if path.suffix.lower() in TIFF_SUFFIXES and find_spec('rasterio') is None:
        raise ImportError(f'{path} is a TIFF, which rasterio writes; run: {EXTRA}, or write a PNG')


def dtype_of_ids(largest: int, path: Path, wanted: str = 'auto') -> np.dtype:
    """Choose the type of a map.

    Args:
        largest: Largest id.
        path: Name of the map; a PNG holds 16 bits.
        wanted: ``'uint8'``, ``'uint16'``, or ``'auto'`` for the smallest that holds the ids.

    Raises:
        ValueError: If the ids do not fit; they are never wrapped around.
    """
    is_png = path.suffix.lower() == '.png'
    for name, dtype in DTYPES.items():
        if wanted not in ('auto', name) or (is_png and name == 'uint32'):
            continue
        if largest <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    if is_png and largest > np.iinfo(np.uint16).max:
        hint = 'a PNG holds 65,535; write a TIFF'
    else:
        hint = f'{wanted} holds {np.iinfo(DTYPES[wanted]).max:,}; leave the type to auto'
    raise ValueError(f'{path} has ids up to {largest:,}, {hint}, or keep fewer entities')


def write_map(
    path: Path,
    bands: Iterable[np.ndarray],
    shape: tuple[int, int],
    dtype: np.dtype,
    georeference: Mapping[str, Any],
) -> None:
    """Write a map whole or not at all, holding a few rows of it.

    Args:
        path: Its name.
        bands: Ids of ``BAND_ROWS`` rows at a time.
        shape: Height and width of the map in px.
        dtype: Unsigned type of the ids.
        georeference: ``crs`` and ``transform`` of the image, where it has them.

    Raises:
        OSError: If it cannot be written.
    """
    write = _write_png if path.suffix.lower() == '.png' else _write_tiff
    with whole_file(path) as partial:
        write(partial, bands, shape, dtype, georeference)


def _write_tiff(
    path: Path,
    bands: Iterable[np.ndarray],
    shape: tuple[int, int],
    dtype: np.dtype,
    georeference: Mapping[str, Any],
) -> None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window

    height, width = shape
    options = {
        'driver': 'GTiff',
        'height': height,
        'width': width,
        'count': 1,
        'dtype': dtype.name,
        'compress': 'deflate',
        'tiled': True,
        'blockxsize': BAND_ROWS,
        'blockysize': BAND_ROWS,
        'bigtiff': 'if_safer',
        **georeference,
    }
    # blocks of one band wait in the cache until they are whole
    with rasterio.Env(GDAL_CACHEMAX=(1 << 24) + 2 * BAND_ROWS * width * dtype.itemsize):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            opened = rasterio.open(path, 'w', **options)
        with opened as dataset:
            top = 0
            for band in bands:
                dataset.write(band, 1, window=Window(0, top, width, len(band)))
                top += len(band)


def _write_png(
    path: Path,
    bands: Iterable[np.ndarray],
    shape: tuple[int, int],
    dtype: np.dtype,
    georeference: Mapping[str, Any],
) -> None:
    """Write grey values of 8 or 16 bits, rows as they are (filter 0), which suits ids."""
    height, width = shape
    header = struct.pack('>IIBBBBB', width, height, 8 * dtype.itemsize, 0, 0, 0, 0)
    deflate = zlib.compressobj()
    with path.open('wb') as file:
        file.write(PNG_SIGNATURE + _chunk(b'IHDR', header))
        for band in bands:
            rows = np.zeros((len(band), 1 + width * dtype.itemsize), dtype=np.uint8)
            big_endian = band.astype(dtype.newbyteorder('>'))
            rows[:, 1:] = big_endian.view(np.uint8).reshape(len(band), -1)
            if data := deflate.compress(rows.tobytes()):
                file.write(_chunk(b'IDAT', data))
        file.write(_chunk(b'IDAT', deflate.flush()) + _chunk(b'IEND', b''))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
