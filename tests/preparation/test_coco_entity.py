import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmentity.datasets import CocoEntityDataset, EntitySegDataset
from mmentity.preparation.coco_entity import convert_coco_panoptic
from mmentity.structures.id_map import colours_of_ids, read_id_map
from tests.conftest import ROOT
from tests.datasets.test_entityseg import COCO

PIPELINE = [{'type': 'mmentity.LoadEntityImage'}, {'type': 'mmentity.LoadEntityAnnotations'}]


@pytest.fixture
def coco_root(tmp_path):
    """COCO panoptic data of two drawn images, one segment of each a crowd."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for k, (height, width) in enumerate([(40, 60), (50, 30)], start=1):
        ids = np.kron(rng.integers(1, 5, (height // 10, width // 10)), np.ones((10, 10), int))
        ids = ids * 70000
        ids[:3] = 0
        name = f'{k:012d}'
        for folder in ('images', 'panoptic'):
            (tmp_path / folder).mkdir(exist_ok=True)
        pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'images/{name}.jpg')
        Image.fromarray(colours_of_ids(ids)).save(tmp_path / f'panoptic/{name}.png')
        segments = [
            {'id': int(i), 'category_id': 90 + k, 'area': int((ids == i).sum()), 'iscrowd': 0,
             'bbox': [0, 0, 1, 1]}
            for i in np.unique(ids)[1:]
        ]  # fmt: skip
        segments[1]['iscrowd'] = 1
        images.append({'id': k, 'file_name': f'{name}.jpg', 'height': height, 'width': width})
        annotations.append({'image_id': k, 'file_name': f'{name}.png', 'segments_info': segments})
    content = {'images': images, 'annotations': annotations, 'categories': [{'id': 91}, {'id': 92}]}
    (tmp_path / 'panoptic.json').write_text(json.dumps(content))
    return tmp_path


def compare_with_direct_reading(root, out):
    options = {'data_root': str(root), 'pipeline': PIPELINE, 'test_mode': True}
    direct = CocoEntityDataset(
        ann_file='panoptic.json', data_prefix={'img': 'images/', 'seg': 'panoptic/'}, **options
    )
    converted = EntitySegDataset(ann_file=str(out), data_prefix={'img': 'images/'}, **options)
    assert len(direct) == len(converted) > 0
    for mine, theirs in zip(converted, direct):
        keep = ~theirs['gt_ignore_flags']
        assert mine['img_path'] == theirs['img_path']
        assert mine['gt_masks'].entities == theirs['gt_masks'].entities.select(keep)
        assert np.array_equal(
            mine['gt_masks'].annotated_areas, theirs['gt_masks'].annotated_areas[keep]
        )
        assert np.array_equal(mine['gt_bboxes_labels'], theirs['gt_bboxes_labels'][keep])


def test_equal_to_reading_directly(coco_root):
    out = coco_root / 'entity.json'
    report = convert_coco_panoptic(coco_root / 'panoptic.json', coco_root / 'panoptic', out, 2)
    assert (report.images, report.crowds, report.faults) == (2, 2, [])
    compare_with_direct_reading(coco_root, out)
    content = json.loads(out.read_text())
    assert {row['category_id'] for row in content['annotations']} == {91, 92}
    assert [row['id'] for row in content['annotations']] == list(range(1, report.entities + 1))
    assert not list(coco_root.glob('*.parts'))


def test_real_coco_images(tmp_path):
    if not (COCO / 'panoptic.json').is_file():
        pytest.skip('the two COCO images are not here; put them into ../shared/coco_samples')
    out = tmp_path / 'entity.json'
    report = convert_coco_panoptic(COCO / 'panoptic.json', COCO / 'panoptic', out, 1)
    segments = [
        segment
        for row in json.loads((COCO / 'panoptic.json').read_text())['annotations']
        for segment in row['segments_info']
    ]
    assert report.entities + report.crowds == len(segments)
    compare_with_direct_reading(COCO, out)
    rows = json.loads(out.read_text())['annotations']
    kept = [segment for segment in segments if not segment['iscrowd']]
    assert [row['bbox'] for row in rows] == [segment['bbox'] for segment in kept]


def test_bad_maps_are_left_out_and_named(coco_root):
    name = f'{2:012d}.png'
    shutil.copy(coco_root / f'panoptic/{1:012d}.png', coco_root / 'panoptic' / name)
    out = coco_root / 'entity.json'
    report = convert_coco_panoptic(coco_root / 'panoptic.json', coco_root / 'panoptic', out, 1)
    assert report.images == 1
    assert len(report.faults) == 1
    assert 'is 40x60, the image is 50x30 (height x width)' in report.faults[0]
    (coco_root / 'panoptic' / name).unlink()
    report = convert_coco_panoptic(coco_root / 'panoptic.json', coco_root / 'panoptic', out, 1)
    assert 'No such file' in report.faults[0]


def test_the_command_line(coco_root):
    tool = str(ROOT / 'tools/dataset_converters/coco2entity.py')

    def run(*arguments):
        line = [sys.executable, tool, *(str(coco_root / a) for a in arguments)]
        return subprocess.run(line, capture_output=True, text=True)

    done = run('panoptic.json', 'panoptic', 'out.json')
    assert done.returncode == 0, done.stderr
    assert '2 crowd segments skipped' in done.stdout
    done = run('panoptic.json', 'nowhere', 'out2.json')
    assert (done.returncode, 'is not a folder' in done.stderr) == (2, True)
    (coco_root / 'other.json').write_text(
        '{"images": [], "annotations": [{"image_id": 1}], "categories": []}'
    )
    done = run('other.json', 'panoptic', 'out2.json')
    assert (done.returncode, 'not a complete COCO panoptic file' in done.stderr) == (2, True)
    assert not (coco_root / 'out2.json').exists()


@pytest.mark.parametrize(
    ('values', 'dtype', 'mode'), [([[0, 255]], np.uint8, 'L'), ([[0, 60000]], np.uint16, 'I;16')]
)
def test_id_maps_of_both_depths(tmp_path, values, dtype, mode):
    Image.fromarray(np.array(values, dtype)).save(tmp_path / 'map.png')
    with Image.open(tmp_path / 'map.png') as image:
        assert image.mode == mode
        assert read_id_map(image).tolist() == values


def test_id_maps_of_colours_and_palettes():
    ids = np.array([[0, 70000, 2**24 - 1]])
    assert read_id_map(Image.fromarray(colours_of_ids(ids))).tolist() == ids.tolist()
    palette = Image.fromarray(np.array([[0, 7]], np.uint8)).convert('P')
    palette.putpalette(bytes(range(255, -1, -1)) * 3)
    assert read_id_map(palette).tolist() == [[0, 7]]
    with pytest.raises(ValueError, match='mode F; save it as 8 or 16 bit'):
        read_id_map(Image.new('F', (1, 1)))
    with pytest.raises(ValueError, match="must be 'auto', 'ids' or 'colours'"):
        read_id_map(Image.new('L', (1, 1)), 'id')
