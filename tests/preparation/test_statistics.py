import json
import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from pycocotools.coco import COCO

from mmentity.datasets import (
    CocoInstanceEntityDataset,
    EntityFolderDataset,
    EntitySegDataset,
    EntitySegInstanceDataset,
    EntitySegPanopticDataset,
    EntitySegSemanticDataset,
)
from mmentity.preparation.statistics import ImageStatistics, Statistics, collect_statistics
from mmentity.preparation.statistics_plots import MOST_SIZES
from tests.conftest import ROOT
from tests.preparation.planting import TRAIN

ANN = 'annotations/'
CLASS_AWARE = {
    EntitySegInstanceDataset: ('instance_segmentation/entityv2_01_instances_train.json', ''),
    EntitySegPanopticDataset: (
        'panoptic_segmentation/entityv2_01_panoptic_train.json',
        ANN + 'panoptic_segmentation/panoptic_maps_train',
    ),
    EntitySegSemanticDataset: (
        'semantic_segmentation/train.txt',
        ANN + 'semantic_segmentation/semantic_maps_train',
    ),
}


def test_numbers_are_those_of_the_json(demo_root):
    dataset = EntitySegDataset(data_root=str(demo_root), ann_file=TRAIN, pipeline=[])
    summary = collect_statistics(dataset).summary()
    coco = COCO(str(demo_root / TRAIN))
    areas = [row['area'] for row in coco.anns.values()]
    counts = [len(coco.imgToAnns[image_id]) for image_id in coco.imgs]
    assert summary['images'] == 6
    assert summary['entities'] == len(areas)
    assert summary['entities per image']['max'] == max(counts)
    assert summary['entity area, px']['mean'] == pytest.approx(np.mean(areas))
    assert summary['small, medium, large entities'] == [
        sum(area < 1024 for area in areas),
        sum(1024 <= area < 9216 for area in areas),
        sum(area >= 9216 for area in areas),
    ]
    assert summary['short side, px']['median'] == 96
    assert summary['sum of areas over area of image']['mean'] == pytest.approx(1)
    for row in summary['classes']:
        assert row['entities'] == len(coco.getAnnIds(catIds=[row['id']]))
        assert row['name'] == coco.cats[row['id']]['name']


@pytest.mark.parametrize('dataset_class', CLASS_AWARE)
def test_every_dataset_of_entityseg(demo_root, dataset_class, tmp_path):
    ann_file, seg = CLASS_AWARE[dataset_class]
    dataset = dataset_class(
        data_root=str(demo_root),
        ann_file=ANN + ann_file,
        data_prefix={'img': 'images/entity_01_11580/', 'seg': seg},
        pipeline=[],
    )
    statistics = collect_statistics(dataset)
    summary = statistics.summary()
    assert summary['images'] == len(dataset) == 4
    assert summary['entities'] == sum(row['entities'] for row in summary['classes']) > 4
    names = dataset.metainfo['classes']
    assert all(row['name'] == names[row['id']] for row in summary['classes'])
    json_path, png_path = statistics.write(tmp_path)
    assert json.loads(json_path.read_text()) == summary
    with Image.open(png_path) as plots:
        assert plots.size[0] > 1000


def test_own_data_and_what_cannot_be_read(demo_root, tmp_path):
    for folder in ('images', 'maps'):
        (tmp_path / folder).mkdir()
    for k in range(2):
        Image.new('RGB', (8, 6)).save(tmp_path / f'images/{k}.jpg')
        Image.fromarray(np.array([[0, 1, 9]] * 6, np.uint8)).save(tmp_path / f'maps/{k}.png')
    options = {'data_root': str(tmp_path), 'data_prefix': {'img': 'images', 'seg': 'maps'}}
    dataset = EntityFolderDataset(**options, no_entity_ids=(9,))
    summary = collect_statistics(dataset).summary()
    assert (summary['entities'], summary['entity area, px']['max']) == (2, 6)
    (tmp_path / 'maps/1.png').write_bytes(b'broken')
    statistics = collect_statistics(dataset)
    assert statistics.summary()['unreadable images'] == 1
    assert 'maps/1.png' in statistics.faults[0]
    coco = CocoInstanceEntityDataset(data_root=str(demo_root), ann_file=TRAIN)
    assert collect_statistics(coco).summary()['images'] == 6


@pytest.mark.parametrize('with_area', [True, False])
def test_annotations_without_a_mask_are_counted_and_listed(tmp_path, with_area):
    size = {'height': 10, 'width': 20}
    masks = [[[0, 0, 5, 0, 5, 5]], [], [[1, 1, 3, 4]], [0, 0, 5, 0, 5, 5]]
    annotations = [
        {'id': 70 + k, 'image_id': k // 3, 'category_id': 1, 'segmentation': mask}
        for k, mask in enumerate(masks)
    ]
    if with_area:
        annotations = [{**annotation, 'area': 3} for annotation in annotations]
    images = [{'id': k, 'file_name': f'{k}.jpg', **size} for k in range(3)]
    (tmp_path / 'a.json').write_text(json.dumps({'images': images, 'annotations': annotations}))
    dataset = CocoInstanceEntityDataset(data_root=str(tmp_path), ann_file='a.json')
    statistics = collect_statistics(dataset)
    summary = statistics.summary()
    assert (summary['images'], summary['unreadable images'], summary['entities']) == (1, 2, 0)
    found = '\n'.join(statistics.faults)
    for place, cause in (('0.jpg: annotation 71', 'empty'), ('0.jpg: annotation 72', '2 points'),
                         ('1.jpg: annotation 73', 'list of lists')):  # fmt: skip
        assert re.search(f'{place}: .*{cause}', found)
    assert 'annotation 70' not in found


def image(height, width, areas, classes=None):
    return ImageStatistics(height, width, areas, classes or [0] * len(areas))


TWO_SIZES = [image(10, 20, [4.0, 9.0]), image(20, 10, [5.0])]
PANELS = [
    # images, names of classes, labels of the panels
    ([], {}, []),
    ([image(10, 20, [])], {}, ['entities of an image']),
    (
        [image(10, 20, [4.0, 9.0])],
        {0: 'entity'},
        ['entities of an image', 'square root of the area of an entity, px'],
    ),
    (
        TWO_SIZES,
        {0: 'entity'},
        ['entities of an image', 'square root of the area of an entity, px', 'images'],
    ),
    (
        [*TWO_SIZES, image(5, 5, [3.0, 3.0], [0, 1])],
        {0: 'cat', 1: 'dog'},
        ['entities of an image', 'square root of the area of an entity, px', 'images', 'entities'],
    ),
    (
        [image(5 + k, 5, [3.0]) for k in range(MOST_SIZES + 1)],
        {0: 'entity'},
        ['entities of an image', 'square root of the area of an entity, px', 'width, px'],
    ),
]


@pytest.mark.parametrize(('images', 'names', 'labels'), PANELS)
def test_no_panel_is_empty(images, names, labels, tmp_path, monkeypatch):
    figures, save = [], Figure.savefig

    def saved(self, *args, **kwargs):
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, 'savefig', saved)
    Statistics('data', images, names).write(tmp_path)
    (figure,) = figures
    assert [axes.get_xlabel() for axes in figure.axes] == labels
    for axes in figure.axes:
        assert sum(patch.get_width() * patch.get_height() for patch in axes.patches) or (
            len(axes.collections[0].get_offsets()) > MOST_SIZES
        )
    one_size = len({(each.height, each.width) for each in images}) == 1
    assert ('all 20 x 10 px' in figure.get_suptitle()) == one_size


def test_a_data_set_without_entities(tmp_path):
    content = {'images': [{'id': 1, 'file_name': 'a.jpg', 'height': 4, 'width': 5}]}
    (tmp_path / 'a.json').write_text(json.dumps({**content, 'annotations': []}))
    dataset = EntitySegDataset(data_root=str(tmp_path), ann_file='a.json')
    statistics = collect_statistics(dataset)
    assert statistics.summary()['entity area, px'] is None
    assert all(path.is_file() for path in statistics.write(tmp_path / 'out'))


def test_the_command_line(demo_root, tmp_path):
    config = ROOT / 'configs/demo/mask2former_swin-nano_demo.py'
    line = [sys.executable, str(ROOT / 'tools/analysis_tools/stats.py'), str(config)]
    line += ['--split', 'val', '--out-dir', str(tmp_path), '--cfg-options']
    line += [f'val_dataloader.dataset.data_root={demo_root}']
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'entities per image' in done.stdout
    assert json.loads((tmp_path / 'stats.json').read_text())['images'] == 3
