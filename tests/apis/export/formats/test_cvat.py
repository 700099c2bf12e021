"""CVAT's XML, read by its software development kit and by datumaro."""

import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mmentity.apis.export.formats.cvat import encode_cvat
from mmentity.datasets.errors import SampleError
from tests.apis.export.formats.conftest import IMAGES, HandmadeInferencer


def test_the_sdk_reads_the_very_masks(write):
    masks = pytest.importorskip('cvat_sdk.masks', reason='cvat-sdk is not installed')
    written = write('cvat')
    root = ElementTree.parse(written.out / 'cvat.xml').getroot()
    assert root.findtext('version') == '1.1'
    assert root.findtext('meta/task/size') == '5'
    assert [image.get('id') for image in root.iter('image')] == list('01234')
    assert {image.get('name').removesuffix('.png') for image in root.iter('image')} == set(IMAGES)
    for image in root.iter('image'):
        expected = written.id_map(image.get('name').removesuffix('.png'))
        height, width = int(image.get('height')), int(image.get('width'))
        painted = np.zeros((height, width), np.int32)
        for mask in image.iter('mask'):
            left, top, wide, high = (
                int(mask.get(key)) for key in ('left', 'top', 'width', 'height')
            )
            # as the server makes shapes of the XML
            points = [*map(int, mask.get('rle').split(',')), left, top]
            points += [left + wide - 1, top + high - 1]
            pixels = masks.decode_mask(points, image_width=width, image_height=height)
            values = {a.get('name'): a.text for a in mask.iter('attribute')}
            assert 0.5 < float(values['score']) < 1
            painted[pixels] = int(values['entity_id'])
            assert points == masks.encode_mask(pixels)
        assert np.array_equal(painted, expected)


def test_datumaro_reads_the_very_masks(write):
    datumaro = pytest.importorskip('datumaro', reason='datumaro is not installed')
    written = write('cvat', inferencer=HandmadeInferencer(('Straße', '犬 & "Katze"')))
    task = written.out / 'task'
    shutil.copytree(written.images, task / 'images')
    shutil.copy(written.out / 'cvat.xml', task / 'annotations.xml')
    dataset = datumaro.Dataset.import_from(str(task), 'cvat')
    names = [category.name for category in dataset.categories()[datumaro.AnnotationType.label]]
    assert names == ['Straße', '犬 & "Katze"']
    assert {item.id for item in dataset} == set(IMAGES)
    for item in dataset:
        expected = written.id_map(item.id)
        painted = np.zeros_like(expected)
        for mask in item.annotations:
            number = int(mask.attributes['entity_id'])
            painted[mask.image.astype(bool)] = number
            assert mask.label == (number - 1) % 2
        assert np.array_equal(painted, expected)


def test_the_file_of_an_image_is_a_task_too(write):
    written = write('cvat')
    root = ElementTree.parse(written.out / 'cvat/9.xml').getroot()
    assert root.findtext('meta/task/labels/label/name') == 'entity'
    assert len(root.findall('image/mask')) == 4


def test_names_that_xml_cannot_hold(write):
    numbered = write('idmap').numbered('7')
    result = HandmadeInferencer(maps={'a\x01': IMAGES['7']}).result('a\x01')
    with pytest.raises(SampleError, match='has control characters, which the XML of CVAT'):
        encode_cvat(numbered._replace(result=result))


def test_names_with_line_breaks_come_back(write, image_folder, tmp_path):
    numbered = write('idmap').numbered('7')
    result = HandmadeInferencer(maps={'a\n\tb': IMAGES['7']}).result('a\n\tb', path='x.png')
    root = ElementTree.fromstring(encode_cvat(numbered._replace(result=result)))
    assert root.find('image').get('name') == 'a\n\tb.png'
    assert Image.open(image_folder / '7.png').size == (32, 24)
