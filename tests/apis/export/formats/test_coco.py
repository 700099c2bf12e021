"""COCO's instance json, read by pycocotools and trained on."""

import json

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from pycocotools.coco import COCO

from mmentity.apis import get_model
from mmentity.apis.export import OutputOptions, PredictionRun
from mmentity.datasets import CocoInstanceEntityDataset
from mmentity.utils.shipped_configs import get_config
from tests.apis.conftest import MODEL
from tests.apis.export.formats.conftest import IMAGES, HandmadeInferencer


def name_of(image):
    return image['file_name'].removesuffix('.png')


@pytest.mark.parametrize('polygons', [False, True])
@pytest.mark.parametrize('ids', [{}, {'ids': 'rank', 'reverse': True, 'min_area': 5}])
def test_pycocotools_reads_the_very_masks(write, polygons, ids):
    written = write('coco', polygons=polygons, **ids)
    coco = COCO(written.out / 'coco.json')
    assert {name_of(image) for image in coco.imgs.values()} == set(IMAGES)
    assert coco.cats == {1: {'id': 1, 'name': 'entity', 'supercategory': 'entity'}}
    for image in coco.imgs.values():
        expected = written.id_map(name_of(image))
        assert (image['height'], image['width']) == expected.shape
        painted = np.zeros_like(expected)
        for annotation in coco.loadAnns(coco.getAnnIds(image['id'])):
            assert isinstance(annotation['segmentation'], list if polygons else dict)
            mask = coco.annToMask(annotation).astype(bool)
            assert not painted[mask].any()
            painted[mask] = annotation['entity_id']
            assert annotation['area'] == mask.sum()
            x, y, width, height = annotation['bbox']
            assert mask[y : y + height, x : x + width].sum() == mask.sum()
            assert mask[y].any()
            assert mask[:, x + width - 1].any()
        assert np.array_equal(painted, expected)


def test_the_file_of_an_image_is_a_data_set_too(write):
    written = write('coco')
    coco = COCO(written.out / 'coco/7.json')
    painted = sum(coco.annToMask(a).astype(int) * a['id'] for a in coco.anns.values())
    assert np.array_equal(painted, written.id_map('7'))


def test_images_that_are_named_by_numbers_keep_them(write, image_folder):
    written = write('coco')
    images = COCO(written.out / 'coco.json').imgs
    # not all are numbers; in natural order
    assert [name_of(images[k]) for k in (1, 2, 3)] == ['7', '9', '10']
    assert sorted(images) == [1, 2, 3, 4, 5]
    numbers = [image_folder / f'{name}.png' for name in ('10', '9')]
    PredictionRun(numbers, written.out / 'numbers', OutputOptions(('coco',)))(HandmadeInferencer())
    images = COCO(written.out / 'numbers/coco.json').imgs
    assert {k: name_of(image) for k, image in images.items()} == {9: '9', 10: '10'}


def test_classes_that_share_a_name_stay_apart(write):
    classes = ('cat ', 'dog', 'cat')
    written = write('coco', inferencer=HandmadeInferencer(classes))
    coco = COCO(written.out / 'coco.json')
    assert [coco.cats[k]['name'] for k in (1, 2, 3)] == ['cat (1)', 'dog', 'cat (3)']
    labels = {a['entity_id']: a['category_id'] for a in coco.imgToAnns[2]}
    assert labels == {1: 1, 2: 2, 3: 3, 4: 1}


def test_a_data_set_to_train_on(write):
    written = write('coco')
    config = get_config(MODEL)
    dataset = CocoInstanceEntityDataset(
        data_root=str(written.out),
        ann_file='coco.json',
        data_prefix={'img': str(written.images)},
        pipeline=config.train_dataloader.dataset.pipeline,
        filter_cfg={'filter_empty_gt': True},
    )
    assert len(dataset) == 4
    plain = CocoInstanceEntityDataset(
        data_root=str(written.out),
        ann_file='coco.json',
        data_prefix={'img': str(written.images)},
        pipeline=[{'type': 'mmentity.LoadEntityImage'}, {'type': 'mmentity.LoadEntityAnnotations'}],
        test_mode=True,
    )
    for sample in plain:
        name = sample['img_path'][len(str(written.images)) + 1 :].removesuffix('.png')
        assert np.array_equal(sample['gt_masks'].entities.ids[0], written.id_map(name))
    model = get_model(config, None, 'cpu').train()
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    logs = model.train_step(pseudo_collate([dataset[0], dataset[1]]), optimizer)
    assert 0 < logs['loss'].item() < 1000


def test_shards_and_resumed_runs_give_the_whole(write):
    whole = write('coco', 'cvat', 'labelstudio', 'panoptic', out='whole').out
    for part in (1, 2):
        parts = write('coco', 'cvat', 'labelstudio', 'panoptic', out='parts', shard=(part, 2)).out
    for name in ('coco.json', 'cvat.xml', 'labelstudio.json', 'labelstudio.xml', 'panoptic.json'):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    expected = (whole / 'coco.json').read_bytes()
    (whole / 'coco/9.json').unlink()
    (whole / 'coco.json').unlink()
    manifest = write('coco', out='whole', skip_existing=True).manifest
    assert (manifest.written, manifest.skipped) == (1, 4)
    assert (whole / 'coco.json').read_bytes() == expected


def test_a_format_is_added_to_what_is_there(write):
    assert write('idmap').manifest.written == 5
    written = write('coco', skip_existing=True)
    assert written.manifest.written == 5
    assert len(json.loads((written.out / 'coco.json').read_text())['images']) == 5


def test_what_cannot_be_joined_is_named(write):
    written = write('coco', 'cvat')
    (written.out / 'coco/9.json').write_text('{"annot')
    with pytest.raises(ValueError, match=r'coco/9\.json is damaged .*--skip-existing'):
        write('coco', skip_existing=True)
    (written.out / 'cvat/9.xml').write_text('<annotations>')
    with pytest.raises(ValueError, match=r'cvat/9\.xml is damaged'):
        write('cvat', skip_existing=True)
    write('coco', inferencer=HandmadeInferencer(('a', 'b', 'c')))
    with pytest.raises(ValueError, match='is of another model: choose another --out'):
        write('coco', skip_existing=True)


def test_labels_without_a_class_fail_their_images(write):
    inferencer = HandmadeInferencer(('a', 'b'))
    result = inferencer.result
    inferencer.result = lambda *a, **more: with_other_labels(result(*a, **more))
    formats = ('coco', 'panoptic', 'labelme', 'cvat', 'labelstudio')
    for key in formats:
        manifest = write(key, out=key, inferencer=inferencer).manifest
        assert manifest.written == 1  # the empty one
        assert 'has label 7, but there are names of 2 classes' in manifest.failures[0]['reason']


def with_other_labels(result):
    result.labels[:] = 7
    return result
