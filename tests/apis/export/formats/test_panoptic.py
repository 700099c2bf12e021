"""COCO's panoptic PNGs and json, read by panopticapi and by the dataset of this package."""

import contextlib
import io
import json
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from mmentity.apis.export.formats.panoptic import encode_panoptic
from mmentity.apis.export.numbering import NumberedResult
from mmentity.datasets import CocoEntityDataset
from tests.apis.conftest import make_result, stripes
from tests.apis.export.formats.conftest import IMAGES


def test_panopticapi_reads_the_very_maps(write):
    utils = pytest.importorskip('panopticapi.utils', reason='panopticapi is not installed')
    evaluation = pytest.importorskip('panopticapi.evaluation')
    written = write('panoptic', ids='rank', min_area=2)
    json_file = written.out / 'panoptic.json'
    content = json.loads(json_file.read_text())
    images = {image['id']: image for image in content['images']}
    assert len(content['annotations']) == len(images) == len(IMAGES)
    for annotation in content['annotations']:
        name = images[annotation['image_id']]['file_name'].removesuffix('.png')
        png = Image.open(written.out / 'panoptic' / annotation['file_name'])
        ids = utils.rgb2id(np.array(png))
        assert np.array_equal(ids, written.id_map(name))
        areas = {segment['id']: segment['area'] for segment in annotation['segments_info']}
        assert areas == {k: (ids == k).sum() for k in np.unique(ids[ids > 0])}
    with contextlib.redirect_stdout(io.StringIO()):
        pairs = [(annotation, annotation) for annotation in content['annotations']]
        categories = {category['id']: category for category in content['categories']}
        folder = written.out / 'panoptic'
        stat = evaluation.pq_compute_single_core(0, pairs, folder, folder, categories)
    assert stat.pq_average(categories, isthing=True)[0]['pq'] == 1


def test_the_dataset_of_this_package_reads_them(write):
    written = write('panoptic')
    dataset = CocoEntityDataset(
        data_root=str(written.out),
        ann_file='panoptic.json',
        data_prefix={'img': str(written.images), 'seg': 'panoptic/'},
        pipeline=[{'type': 'mmentity.LoadEntityImage'}, {'type': 'mmentity.LoadEntityAnnotations'}],
        test_mode=True,
    )
    assert len(dataset) == len(IMAGES)
    for sample in dataset:
        name = sample['img_path'][len(str(written.images)) + 1 :].removesuffix('.png')
        assert np.array_equal(sample['gt_masks'].entities.ids[0], written.id_map(name))


def test_pngs_of_a_layout_are_found(write):
    written = write('panoptic', layout='maps/{name}')
    content = json.loads((written.out / 'panoptic.json').read_text())
    files = defaultdict(list)
    for annotation in content['annotations']:
        files[(written.out / annotation['file_name']).is_file()].append(annotation)
    assert len(files[True]) == len(IMAGES)


def test_ids_that_no_colour_holds():
    result = make_result(stripes([2, 2]), [0.9, 0.8], 'street')
    largest = 256**3 - 1
    numbered = NumberedResult(result, np.array([1, largest], np.int32))
    colours = np.array(Image.open(io.BytesIO(encode_panoptic(numbered))))
    assert colours[0, -1].tolist() == [255] * 3
    with pytest.raises(ValueError, match='street has ids up to 16777216, a panoptic PNG holds'):
        encode_panoptic(NumberedResult(result, np.array([1, largest + 1], np.int32)))
