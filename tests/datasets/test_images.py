"""Images of any common kind as 8-bit BGR: depths, colours of 16 bits, what errors say."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmentity.datasets import SampleError, images
from mmentity.datasets.images import decode_bgr, number_of_frames, scale_to_8_bits
from mmentity.datasets.rules import probe_image
from mmentity.datasets.transforms import LoadEntityImage

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """What is said once in a process."""
    kinds = {}
    monkeypatch.setattr(images, '_SAID', set())
    monkeypatch.setattr(images, '_say_once', lambda kind, text: kinds.setdefault(kind, text))
    return kinds


@pytest.mark.parametrize(
    ('largest', 'bits'), [(255, 8), (256, 10), (4095, 12), (4096, 14), (16384, 16), (65535, 16)]
)
def test_the_depth_is_the_smallest_that_fits(said, largest, bits):
    values = np.array([0, largest])
    expected = [0, largest * 255 // (2**bits - 1)]
    assert scale_to_8_bits(values).tolist() == expected
    assert ('depth' in said) == (bits < 16)
    assert scale_to_8_bits(values, '16').tolist() == [0, largest // 257]
    if bits > 8:
        with pytest.raises(SampleError, match=f'8 bits hold 0..255; --depth {bits} or auto'):
            scale_to_8_bits(values, '8')


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_colours_of_16_bits(tmp_path, suffix):
    """Pillow would drop their lower halves, which leaves 12 bits black."""
    deep = np.dstack([RAMP, RAMP[::-1], RAMP.T])
    path = str(tmp_path / f'deep{suffix}')
    cv2.imwrite(path, deep)
    expected = (deep.astype(int) * 255 // 4095).astype(np.uint8)
    for depth in ('auto', 12):
        assert np.array_equal(LoadEntityImage(depth=depth)._read(path), expected)
    shallow = LoadEntityImage(depth='16')._read(path)
    assert np.array_equal(shallow, (deep // 257).astype(np.uint8))


def test_colours_of_16_bits_are_turned_upright(tmp_path):
    deep = np.dstack([RAMP[:32], RAMP[:32], RAMP[32:]])
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    with Image.open(tmp_path / 'deep.png') as image:
        exif = image.getexif()
    exif[0x0112] = 6
    data = (tmp_path / 'deep.png').read_bytes()
    # Pillow writes no colours of 16 bits: the chunk goes in behind the header by hand
    chunk = b'eXIf' + exif.tobytes()[6:]
    crc = zlib.crc32(chunk)
    chunk = (len(chunk) - 4).to_bytes(4, 'big') + chunk + crc.to_bytes(4, 'big')
    turned = data[:33] + chunk + data[33:]
    expected = np.rot90(decode_bgr(data, 'deep'), -1)
    assert np.array_equal(decode_bgr(turned, 'deep'), expected)


def test_further_frames_are_said(said):
    frames = [Image.fromarray(np.full((8, 8), 100 * k, np.uint8)) for k in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, 'TIFF', save_all=True, append_images=frames[1:])
    assert decode_bgr(stream.getvalue(), 'pages.tif').max() == 0
    assert said['frames'].startswith('pages.tif has 3 frames')
    # a photograph with a preview is one image
    stream = io.BytesIO()
    frames[0].save(stream, 'MPO', save_all=True, append_images=frames[1:])
    assert number_of_frames(Image.open(stream)) == 1


def test_an_image_above_the_limit_says_so(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((50, 50), np.uint8)).save(tmp_path / 'large.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    for read in (LoadEntityImage()._read, probe_image):
        with pytest.raises(SampleError, match='has more than 2,000 pixels.*--max-pixels') as error:
            read(str(tmp_path / 'large.png'))
        assert error.value.kind == 'too-large'


def test_what_is_no_image_says_no_address(tmp_path):
    (tmp_path / 'a.jpg').write_text('no image')
    with pytest.raises(SampleError, match='its content is of no known image format'):
        LoadEntityImage()._read(str(tmp_path / 'a.jpg'))
