"""The json files of labelme, read by labelme."""

import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmentity.apis.export.formats.labelme import encode_labelme
from mmentity.datasets.errors import SampleError
from tests.apis.export.formats.conftest import IMAGES, HandmadeInferencer


@pytest.fixture(scope='module')
def labelme():
    return pytest.importorskip('labelme', reason='labelme is not installed', exc_type=ImportError)


@pytest.mark.parametrize('name', IMAGES)
def test_labelme_reads_the_very_masks(labelme, write, name):
    written = write('labelme')
    file = labelme.LabelFile(str(written.out / f'labelme/{name}.json'))
    expected = written.id_map(name)
    # it is the file of the image that labelme opened
    assert file.image_data == (written.images / f'{name}.png').read_bytes()
    classes, instances = labelme.utils.shapes_to_label(expected.shape, file.shapes, {'entity': 1})
    assert np.array_equal(classes, expected > 0)
    groups = np.array([0, *(shape['group_id'] for shape in file.shapes)])
    assert np.array_equal(groups[instances], expected)
    assert all(shape['description'].startswith('score 0.') for shape in file.shapes)


@pytest.mark.parametrize('name', IMAGES)
def test_polygons_of_parts_are_groups(labelme, write, name):
    written = write('labelme', polygons=True)
    file = labelme.LabelFile(str(written.out / f'labelme/{name}.json'))
    expected = written.id_map(name)
    painted = np.zeros_like(expected)
    for shape in file.shapes:
        assert shape['shape_type'] == 'polygon'
        line = np.ravel(shape['points']).tolist()
        painted += (
            mask_utils.decode(mask_utils.frPyObjects([line], *expected.shape))[..., 0].astype(
                np.int32
            )
            * shape['group_id']
        )
    assert np.array_equal(painted, expected)
    if name == '9':
        assert sum(shape['group_id'] == 1 for shape in file.shapes) == 3


def test_the_image_is_found_from_folders_that_are_links(write, tmp_path):
    (tmp_path / 'deep/er').mkdir(parents=True)
    (tmp_path / 'out').symlink_to(tmp_path / 'deep/er')
    written = write('labelme')
    path = json.loads((written.out / 'labelme/7.json').read_text())['imagePath']
    assert (written.out / 'labelme' / path).samefile(written.images / '7.png')


@pytest.mark.parametrize('more', [{}, {'path': 'walk.mp4', 'frame': 3}])
def test_what_is_no_image_file_is_refused(more, write):
    numbered = write('idmap').numbered('7')
    result = HandmadeInferencer().result('7', **more)
    with pytest.raises(SampleError, match='has no image file, which labelme would open'):
        encode_labelme(numbered._replace(result=result), False, '.')
