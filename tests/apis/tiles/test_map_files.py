import numpy as np
import pytest
from PIL import Image

from mmentity.apis.tiles.map_files import check_map_path, dtype_of_ids, write_map


def bands_of(ids, rows=7):
    return (ids[top : top + rows] for top in range(0, len(ids), rows))


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_a_png_holds_the_ids(dtype, tmp_path):
    ids = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (40, 33)).astype(dtype)
    path = tmp_path / 'maps' / 'map.png'
    write_map(path, bands_of(ids), ids.shape, ids.dtype, {})
    with Image.open(path) as image:
        image.verify()
    assert np.array_equal(np.asarray(Image.open(path)), ids)


def test_a_tiff_holds_large_ids_and_the_place(tmp_path):
    rasterio = pytest.importorskip('rasterio', reason='the extra tiles is not installed')
    ids = np.random.default_rng(0).integers(0, 1 << 31, (1100, 530)).astype(np.uint32)
    place = {
        'crs': rasterio.CRS.from_epsg(32633),
        'transform': rasterio.Affine(0.5, 0, 4e5, 0, -0.5, 5e6),
    }
    for name in ('a.tif', 'b.tif'):
        write_map(tmp_path / name, bands_of(ids, 512), ids.shape, ids.dtype, place)
    with rasterio.open(tmp_path / 'a.tif') as dataset:
        assert np.array_equal(dataset.read(1), ids)
        assert dataset.crs == place['crs']
        assert dataset.transform == place['transform']
        assert dataset.profile['tiled']
        assert dataset.profile['compress'] == 'deflate'
    assert (tmp_path / 'a.tif').read_bytes() == (tmp_path / 'b.tif').read_bytes()


def test_nothing_stays_of_a_map_that_fails(tmp_path):
    def broken():
        yield np.ones((4, 6), np.uint8)
        raise OSError('the disk is full')

    with pytest.raises(OSError, match='full'):
        write_map(tmp_path / 'map.png', broken(), (8, 6), np.dtype('uint8'), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('largest', 'name', 'expected'),
    [
        (0, 'a.png', 'uint8'),
        (255, 'a.tif', 'uint8'),
        (256, 'a.png', 'uint16'),
        (65_535, 'a.png', 'uint16'),
        (65_536, 'a.tif', 'uint32'),
    ],
)
def test_the_type_is_the_smallest_that_holds_the_ids(largest, name, expected, tmp_path):
    assert dtype_of_ids(largest, tmp_path / name) == expected


def test_ids_never_wrap_around(tmp_path):
    with pytest.raises(ValueError, match='ids up to 65,536, a PNG holds 65,535; write a TIFF'):
        dtype_of_ids(65_536, tmp_path / 'a.png')
    with pytest.raises(ValueError, match='uint8 holds 255'):
        dtype_of_ids(256, tmp_path / 'a.tif', 'uint8')


def test_names_are_checked_before_the_work(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r'must end in .tif or .png'):
        check_map_path(tmp_path / 'map.jpg')
    monkeypatch.setattr('mmentity.apis.tiles.map_files.find_spec', lambda name: None)
    check_map_path(tmp_path / 'map.png')
    with pytest.raises(ImportError, match=r'run: pip install "mmentity\[tiles\]", or write a PNG'):
        check_map_path(tmp_path / 'map.tif')
