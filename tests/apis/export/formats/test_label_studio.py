"""Label Studio's tasks, read by its converter."""

import json
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest

from mmentity.apis.export.formats.label_studio import brush_rle
from tests.apis.export.formats.conftest import IMAGES, HandmadeInferencer


@pytest.fixture(scope='module')
def brush():
    return pytest.importorskip(
        'label_studio_converter.brush', reason='label-studio-converter is not installed'
    )


def test_the_converter_reads_the_very_masks(brush, write):
    written = write('labelstudio')
    tasks = json.loads((written.out / 'labelstudio.json').read_text())
    names = []
    for task in tasks:
        url = urlparse(task['data']['image'])
        assert url.path == '/data/local-files/'
        file = parse_qs(url.query)['d'][0]
        assert (written.images / file).is_file()
        names.append(file.removesuffix('.png'))
        (prediction,) = task['predictions']
        expected = written.id_map(names[-1])
        # as the converter takes regions of an export
        regions = [{**region, **region['value']} for region in prediction['result']]
        layers = brush.decode_from_annotation('entities', regions)
        assert len(layers) == expected.max()
        painted = np.zeros_like(expected)
        for region, layer in zip(regions, layers.values()):
            assert set(np.unique(layer)) <= {0, 255}
            painted[layer > 0] = int(region['id'].removeprefix('entity-'))
        assert np.array_equal(painted, expected)
    assert sorted(names) == sorted(IMAGES)


def test_the_labeling_interface_fits_the_tasks(brush, write):
    label_config = pytest.importorskip('label_studio_tools.core.label_config')
    classes = ('Straße', '犬 & "Katze"')
    written = write('labelstudio', inferencer=HandmadeInferencer(classes))
    tags = label_config.parse_config((written.out / 'labelstudio.xml').read_text())
    assert tags['entities']['type'] == 'BrushLabels'
    assert tags['entities']['to_name'] == ['image']
    assert tags['entities']['inputs'][0]['value'] == 'image'
    assert tags['entities']['labels'] == list(classes)
    tasks = json.loads((written.out / 'labelstudio.json').read_text())
    regions = [region for task in tasks for region in task['predictions'][0]['result']]
    assert {region['from_name'] for region in regions} == {'entities'}
    assert {region['value']['brushlabels'][0] for region in regions} == set(classes)


def test_runs_of_every_length(brush):
    """Also those that are longer than 16 bits count, with four values a pixel."""
    mask = np.zeros((300, 400), dtype=bool)
    flat = mask.reshape(-1)
    place = 0
    for length in (1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 40000):
        flat[place : place + length] = True
        place += length + 1 + length % 3
    for pixels in (mask, ~mask, np.ones_like(mask)):
        values = brush.decode_rle(brush_rle(pixels, (0, 0), *pixels.shape))
        assert np.array_equal(values.reshape(300, 400, 4), pixels[..., None].repeat(4, -1) * 255)


def test_addresses_of_images_elsewhere(write):
    written = write('labelstudio', image_url='s3://bucket/photos/')
    tasks = json.loads((written.out / 'labelstudio.json').read_text())
    addresses = [task['data']['image'] for task in tasks]
    assert 's3://bucket/photos/7.png' in addresses
    assert 's3://bucket/photos/a%20b/many.png' in addresses
