import json

import numpy as np
import pytest
from PIL import Image

from mmentity.preparation.synthetic import DemoOptions, draw_scene, make_demo_data
from mmentity.structures import EntityMap

ANNOTATIONS = 'annotations/entity_segmentation'


def test_layout_and_formats(demo_root):
    names = {
        f'entityv2_{part}_entity_{split}{lr}.json'
        for part in ('01', '02', '03', '010203')
        for split in ('train', 'val')
        for lr in ('', '_lr')
    }
    assert {path.name for path in (demo_root / ANNOTATIONS).iterdir()} == names
    for name in names:
        content = json.loads((demo_root / ANNOTATIONS / name).read_text())
        assert len(content['categories']) == 644
        known = {category['id'] for category in content['categories']}
        images = 'images_lr' if '_lr' in name else 'images'
        by_image = {}
        for annotation in content['annotations']:
            assert annotation['category_id'] in known
            by_image.setdefault(annotation['image_id'], []).append(annotation)
        for image in content['images']:
            with Image.open(demo_root / images / image['file_name']) as opened:
                assert opened.size == (image['width'], image['height'])
            rows = by_image[image['id']]
            entities = EntityMap.from_segmentations(
                [row['segmentation'] for row in rows], image['height'], image['width']
            )
            assert entities.is_disjoint
            assert entities.areas.tolist() == [row['area'] for row in rows]
            boxes = np.array([row['bbox'] for row in rows])
            boxes[:, 2:] += boxes[:, :2]
            assert np.array_equal(entities.boxes_xyxy_px, boxes)


def test_image_ids_repeat_across_folders(demo_root):
    ids = [
        [
            image['id']
            for image in json.loads(
                (demo_root / ANNOTATIONS / f'entityv2_{part}_entity_train.json').read_text()
            )['images']
        ]
        for part in ('01', '02', '03')
    ]
    assert ids == [[1, 2, 3, 4], [1], [1]]


def test_the_same_seed_gives_the_same_files(demo_root, tmp_path):
    again = make_demo_data(tmp_path / 'again', DemoOptions(6, 3, 96, 128, (4, 6)))
    for path in demo_root.rglob('*'):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(demo_root)).read_bytes()


def test_an_existing_folder_is_reused_or_refused(demo_root):
    assert make_demo_data(demo_root, DemoOptions(6, 3, 96, 128, (4, 6))) == demo_root
    with pytest.raises(ValueError, match='not made with these options'):
        make_demo_data(demo_root, DemoOptions(5, 3, 96, 128))


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(
        'mmentity.preparation.synthetic.write_json',
        lambda *_: (_ for _ in ()).throw(OSError('full')),
    )
    with pytest.raises(OSError, match='full'):
        make_demo_data(tmp_path / 'demo', DemoOptions(2, 1, 48, 64))
    assert list(tmp_path.iterdir()) == []


def test_scenes_hold_large_small_and_thin_entities():
    areas, thinness = [], []
    for seed in range(12):
        _, entities, category_ids = draw_scene(np.random.default_rng(seed), DemoOptions())
        assert len(category_ids) == entities.num_entities
        boxes = entities.boxes_xyxy_px
        areas += entities.areas.tolist()
        extent = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        thinness += (entities.areas / extent).tolist()
    assert min(areas) < 32**2
    assert max(areas) > 96**2
    assert min(thinness) < 0.35
