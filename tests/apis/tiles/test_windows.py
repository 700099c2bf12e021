"""Windows hold the very pixels that the loader gives for the whole file."""

import numpy as np
import pytest
from PIL import Image

from mmentity.apis.tiles import windows
from mmentity.apis.tiles.windows import ArrayWindows, RasterWindows, open_windows
from mmentity.datasets import SampleError
from mmentity.datasets.images import decode_bgr
from tests.apis.conftest import scene

rasterio = pytest.importorskip('rasterio', reason='the extra tiles is not installed')
SIZE = (120, 176)


def decode(path):
    with open(path, 'rb') as file:
        return decode_bgr(file.read(), path)


def read_all(opened, step=50):
    bands = []
    for y in range(0, opened.height, step):
        bottom = min(y + step, opened.height)
        starts = range(0, opened.width, step)
        boxes = [(x, y, min(x + step, opened.width), bottom) for x in starts]
        bands.append(np.concatenate([opened.read(box) for box in boxes], axis=1))
    return np.concatenate(bands)


def colours():
    return Image.fromarray(scene(1, *SIZE))


@pytest.mark.parametrize(
    ('name', 'make'),
    [
        ('rgb.tif', colours),
        ('rgb.png', colours),
        ('grey.tif', lambda: colours().convert('L')),
        ('grey.jpg', lambda: colours().convert('L')),
        ('palette.png', lambda: colours().quantize(10)),
        ('palette.tif', lambda: colours().convert('P')),
        ('bits.tif', lambda: colours().convert('1')),
        ('bits.png', lambda: colours().convert('1')),
        ('alpha.png', lambda: colours().convert('LA')),
        ('alpha.tif', lambda: colours().convert('RGBA')),
        ('inks.tif', lambda: colours().convert('CMYK')),
        ('deep.png', lambda: Image.fromarray(np.arange(21120, dtype=np.uint16).reshape(SIZE))),
        ('deep.tif', lambda: Image.fromarray(np.arange(21120, dtype=np.uint16).reshape(SIZE))),
    ],
)
def test_every_kind_reads_as_the_loader_reads_it(name, make, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, 'WHOLE_PIXELS', 0)
    path = tmp_path / name
    make().save(path)
    with open_windows(path, decode, 64) as opened:
        assert isinstance(opened, RasterWindows)
        assert np.array_equal(read_all(opened), decode(str(path)))


@pytest.mark.parametrize('compress', ['deflate', 'lzw', 'zstd'])
def test_blocks_of_a_large_tiff(compress, tmp_path):
    pixels = scene(2, 304, 400)
    path = save_tiff(tmp_path / 'blocks.tif', pixels, compress=compress, interleave='band')
    with open_windows(path, None, 64) as opened:
        assert opened.georeference == {}
        assert np.array_equal(opened.read((90, 60, 301, 300)), pixels[60:300, 90:301, ::-1])


def test_small_files_and_turned_ones_are_decoded_at_once(tmp_path):
    exif = colours().getexif()
    exif[0x112] = 6
    colours().save(tmp_path / 'turned.tif', exif=exif)
    for name in ('small.jpg', 'small.webp'):
        colours().save(tmp_path / name)
    for name, size in (('turned.tif', SIZE[::-1]), ('small.jpg', SIZE), ('small.webp', SIZE)):
        with open_windows(tmp_path / name, decode, 64) as opened:
            assert isinstance(opened, ArrayWindows)
            assert (opened.height, opened.width) == size


def test_arrays_may_be_mapped_from_a_file(tmp_path):
    np.save(tmp_path / 'pixels.npy', scene(0))
    mapped = np.load(tmp_path / 'pixels.npy', mmap_mode='r')
    with open_windows(mapped, None, 16) as opened:
        assert np.array_equal(opened.read((8, 8, 24, 16)), scene(0)[8:16, 8:24])
    with (
        pytest.raises(SampleError, match='float64'),
        open_windows(np.zeros((4, 4)), None, 16),
    ):
        pass


@pytest.mark.parametrize('suffix', ['.tif', '.png', '.jpg'])
def test_what_is_missing_in_a_truncated_file_is_an_error(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(windows, 'WHOLE_PIXELS', 0)
    path = tmp_path / f'cut{suffix}'
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (300, 400, 3), np.uint8)
    if suffix == '.tif':
        save_tiff(path, noise, compress='deflate')
    else:
        Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with (
        pytest.raises(SampleError, match=rf'cut\{suffix} is (damaged at the rows|truncated)'),
        open_windows(path, decode, 64) as opened,
    ):
        read_all(opened)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'does not exist'),
        (b'hello', 'no image that can be read .*convert it'),
        (np.zeros((9, 9), np.float32), 'float32 values; save it as 8 or 16 bit'),
    ],
)
def test_what_is_no_image_is_named(content, message, tmp_path):
    path = tmp_path / 'no.tif'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, np.ndarray):
        Image.fromarray(content).save(path)
    with (
        pytest.raises((SampleError, FileNotFoundError), match=message),
        open_windows(path, decode, 64),
    ):
        pass


def save_tiff(path, pixels, **options):
    height, width, count = pixels.shape
    size = {'height': height, 'width': width, 'count': count, 'dtype': 'uint8'}
    blocks = {'tiled': True, 'blockxsize': 128, 'blockysize': 128}
    with rasterio.open(path, 'w', driver='GTiff', **size, **blocks, **options) as dataset:
        dataset.write(pixels.transpose(2, 0, 1))
    return path
