"""Classes that a config gives a dataset."""

import json

import pytest

from mmentity.datasets import (
    CocoInstanceEntityDataset,
    EntitySegDataset,
    EntitySegInstanceDataset,
    EntitySegPanopticDataset,
    EntitySegSemanticDataset,
)

ALL = EntitySegInstanceDataset.METAINFO
FILE = 'annotations/instance_segmentation/entityv2_01_instances_train.json'


def instances(root, **options):
    images = {'img': 'images/entity_01_11580/'}
    options = {'data_root': str(root), 'ann_file': FILE, 'data_prefix': images, **options}
    return EntitySegInstanceDataset(pipeline=[], **options)


def used_classes(root):
    content = json.loads((root / FILE).read_text())
    ids = [annotation['category_id'] for annotation in content['annotations']]
    names = dict(zip(ALL['category_ids'], ALL['classes']))
    return [names[category_id] for category_id in dict.fromkeys(ids)]


def test_a_subset_of_classes(demo_root):
    chosen = used_classes(demo_root)[1::-1]
    every = instances(demo_root)
    some = instances(demo_root, metainfo={'classes': chosen})
    assert some.metainfo['classes'] == tuple(chosen)
    assert some.metainfo['thing_classes'] == tuple(chosen)
    assert len(some.metainfo['category_ids']) == len(some.metainfo['palette']) == 2
    found = 0
    for index in range(len(every)):
        expected = [
            (chosen.index(name), record['mask'])
            for record in every.get_data_info(index)['instances']
            if (name := ALL['classes'][record['bbox_label']]) in chosen
        ]
        records = some.get_data_info(index)['instances']
        assert [(record['bbox_label'], record['mask']) for record in records] == expected
        found += len(expected)
    assert found
    filtered = instances(
        demo_root, metainfo={'classes': chosen[:1]}, filter_cfg={'filter_empty_gt': True}
    )
    assert all(set(filtered.get_cat_ids(k)) == {0} for k in range(len(filtered)))


def test_all_classes_in_another_order_and_a_palette(demo_root):
    classes = ALL['classes'][::-1]
    palette = [(k, k, k) for k in range(len(classes))]
    dataset = instances(demo_root, metainfo={'classes': classes, 'palette': palette})
    assert dataset.metainfo['category_ids'] == list(ALL['category_ids'][::-1])
    assert dataset.metainfo['palette'] == palette
    assert instances(demo_root, metainfo={'palette': palette}).metainfo['classes'] == ALL['classes']


@pytest.mark.parametrize(
    ('metainfo', 'message'),
    [
        ({'classes': ('mann', ALL['classes'][0])}, "class 'mann', which the task has not .*'man'"),
        ({'classes': (ALL['classes'][0],) * 2}, 'repeats classes'),
        ({'classes': ('a', 'b'), 'category_ids': (1,)}, '2 classes and 1 category_ids'),
    ],
)
def test_classes_that_are_refused(demo_root, metainfo, message):
    with pytest.raises(ValueError, match=message):
        instances(demo_root, metainfo=metainfo)


@pytest.mark.parametrize('cls', [EntitySegDataset, CocoInstanceEntityDataset])
def test_datasets_of_one_class(cls, demo_root):
    options = {
        'data_root': str(demo_root),
        'ann_file': 'annotations/entity_segmentation/entityv2_01_entity_train.json',
        'data_prefix': {'img': 'images/'},
        'pipeline': [],
    }
    with pytest.raises(ValueError, match='2 classes of its own: its entities are all'):
        cls(metainfo={'classes': ('man', 'car')}, **options)
    assert cls(metainfo={'classes': ('object',)}, **options).metainfo['classes'] == ('object',)


@pytest.mark.parametrize('cls', [EntitySegPanopticDataset, EntitySegSemanticDataset])
def test_datasets_whose_maps_hold_all_classes(cls):
    with pytest.raises(ValueError, match=r'maps hold all classes .* EntitySegInstanceDataset'):
        cls(metainfo={'classes': ('man', 'car')}, lazy_init=True)
