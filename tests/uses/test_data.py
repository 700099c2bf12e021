"""Uses of the datasets and transforms by users of mmdet and mmseg."""

import copy
import re
import shutil
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from PIL import Image

from mmentity.datasets.transforms import LoadEntityAnnotations
from tests.conftest import ROOT, require_compiled_ops

ANNOTATIONS = 'annotations'
MMDET_PIPELINE = [
    {'type': 'LoadImageFromFile'},
    {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    {'type': 'Resize', 'scale': (160, 96), 'keep_ratio': True},
    {'type': 'RandomFlip', 'prob': 0.5},
    {'type': 'PackDetInputs'},
]


@pytest.fixture(scope='module', autouse=True)
def mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.fixture(scope='module')
def own_folder(demo_root, tmp_path_factory):
    """A folder of images and one of id maps, as docs/your_own_data.md describes."""
    root = tmp_path_factory.mktemp('own')
    dataset = build(demo_root, 'entity', [{'type': 'mmentity.LoadEntityImage'},
                                          {'type': 'mmentity.LoadEntityAnnotations'}])  # fmt: skip
    for folder in ('images', 'maps'):
        (root / folder).mkdir()
    for results in dataset:
        source = Path(results['img_path'])
        shutil.copy(source, root / 'images')
        ids = results['gt_masks'].entities.ids[0].astype(np.uint8)
        Image.fromarray(ids).save(root / 'maps' / f'{source.stem}.png')
    return root


def build(root, task, pipeline, **options):
    """The training images of one task, or those of a folder of id maps."""
    folder = ANNOTATIONS + '/{}_segmentation/'
    options = {'data_root': str(root), 'pipeline': pipeline, 'test_mode': True, **options}
    images = {'img': 'images/entity_01_11580/'}
    forms = {
        'entity': {
            'type': 'mmentity.EntitySegDataset',
            'ann_file': folder.format('entity') + 'entityv2_01_entity_train.json',
            'data_prefix': {'img': 'images/'},
        },
        'instance': {
            'type': 'mmentity.EntitySegInstanceDataset',
            'ann_file': folder.format('instance') + 'entityv2_01_instances_train.json',
            'data_prefix': images,
        },
        'panoptic': {
            'type': 'mmentity.EntitySegPanopticDataset',
            'ann_file': folder.format('panoptic') + 'entityv2_01_panoptic_train.json',
            'data_prefix': {**images, 'seg': folder.format('panoptic') + 'panoptic_maps_train/'},
        },
        'semantic': {
            'type': 'mmentity.EntitySegSemanticDataset',
            'ann_file': folder.format('semantic') + 'train.txt',
            'data_prefix': {**images, 'seg': folder.format('semantic') + 'semantic_maps_train/'},
        },
        'folder': {
            'type': 'mmentity.EntityFolderDataset',
            'data_prefix': {'img': 'images/', 'seg': 'maps/'},
        },
    }
    forms['coco_entity'] = {**forms['panoptic'], 'type': 'mmentity.CocoEntityDataset'}
    return DATASETS.build({**forms[task], **options})


def demo_config():
    return Config.fromfile(ROOT / 'configs/demo/cropformer_swin-nano_demo.py')


def mask_rcnn(num_classes):
    require_compiled_ops()
    path = Path(mmdet.__file__).parent / '.mim/configs/_base_/models/mask-rcnn_r50_fpn.py'
    model = Config.fromfile(path).model
    model.backbone.update(depth=18, init_cfg=None)
    model.neck.update(in_channels=[64, 128, 256, 512], out_channels=16)
    model.rpn_head.update(in_channels=16, feat_channels=16)
    roi_head = model.roi_head
    for part in ('bbox_roi_extractor', 'mask_roi_extractor'):
        roi_head[part].out_channels = 16
    roi_head.bbox_head.update(in_channels=16, fc_out_channels=32, num_classes=num_classes)
    roi_head.mask_head.update(
        num_convs=1, in_channels=16, conv_out_channels=16, num_classes=num_classes
    )
    model.train_cfg.rcnn.sampler.num = 32
    model.train_cfg.rpn_proposal.max_per_img = 100
    return MODELS.build(model)


def train_one_step(model, dataset):
    torch.manual_seed(0)
    model.train()
    data = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), training=True)
    losses = model(**data, mode='loss')
    parsed, log = model.parse_losses(losses)
    parsed.backward()
    return {key: value.item() for key, value in log.items()}


TASKS = ['entity', 'instance', 'panoptic', 'coco_entity', 'semantic', 'folder']


@pytest.mark.parametrize('task', TASKS)
def test_26_mmdet_loads_annotations_of_every_dataset(task, demo_root, own_folder):
    """26: the entities that mmdet's loader reads are those that ours reads."""
    root = own_folder if task == 'folder' else demo_root
    steps = [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations', 'with_mask': True}]
    theirs = build(root, task, steps)
    ours = build(root, task, [{'type': 'mmentity.LoadEntityImage'},
                              {'type': 'mmentity.LoadEntityAnnotations'}])  # fmt: skip
    for index in range(len(ours)):
        expected, results = ours[index], theirs[index]
        keep = np.ones(len(expected['gt_masks']), bool)
        if task == 'panoptic':
            # mmdet's instances are things
            classes = [ours.metainfo['classes'][k] for k in expected['gt_bboxes_labels']]
            keep = np.isin(classes, ours.metainfo['thing_classes'])
        keep &= ~expected['gt_ignore_flags'] if 'panoptic' in task or 'coco' in task else True
        assert keep.any()
        masks = expected['gt_masks'].to_ndarray()[keep]
        assert np.array_equal(results['gt_masks'].masks, masks)
        labels = expected['gt_bboxes_labels'][keep]
        assert np.array_equal(results['gt_bboxes_labels'], labels)
        assert np.array_equal(results['gt_ignore_flags'], expected['gt_ignore_flags'][keep])
        boxes = expected['gt_bboxes'].tensor[torch.from_numpy(keep)]
        assert torch.allclose(results['gt_bboxes'].tensor, boxes, atol=1)


@pytest.mark.parametrize('task', ['entity', 'folder', 'coco_entity'])
def test_25_26_mask_rcnn_trains_on_our_datasets(task, demo_root, own_folder):
    """25, 26: with mmdet's own pipeline, the mask loss is of masks."""
    root = own_folder if task == 'folder' else demo_root
    dataset = build(root, task, copy.deepcopy(MMDET_PIPELINE), test_mode=False)
    log = train_one_step(mask_rcnn(1), dataset)
    assert np.isfinite(log['loss'])
    assert log['loss_mask'] > 0.1


def test_26_mask_rcnn_trains_on_entity_maps(demo_root):
    """26: mmdet's models take the entity map for masks: loading costs one map."""
    pipeline = copy.deepcopy(MMDET_PIPELINE)
    pipeline[1] = {'type': 'mmentity.LoadEntityAnnotations'}
    logs = []
    for steps in (pipeline, MMDET_PIPELINE):
        np.random.seed(0)
        dataset = build(demo_root, 'entity', copy.deepcopy(steps), test_mode=False)
        torch.manual_seed(0)
        model = mask_rcnn(1)
        logs.append(train_one_step(model, dataset))
    assert logs[0]['loss_mask'] == pytest.approx(logs[1]['loss_mask'], rel=0.05)


@pytest.mark.parametrize('task', ['instance', 'panoptic'])
def test_27_28_cropformer_on_mmdets_coco_datasets(task, demo_root):
    """27, 28: CocoDataset and CocoPanopticDataset with our pipeline."""
    config = demo_config()
    pipeline = copy.deepcopy(config.train_dataloader.dataset.pipeline)
    ours = build(demo_root, task, pipeline, test_mode=False)
    options = {
        'data_root': str(demo_root),
        'ann_file': ours.ann_file[len(str(demo_root)) + 1 :],
        'data_prefix': {'img': 'images/entity_01_11580/'},
        'pipeline': pipeline,
    }
    metainfo = {k: ours.metainfo[k] for k in ('classes', 'thing_classes', 'stuff_classes')}
    if task == 'panoptic':
        options['data_prefix']['seg'] = 'annotations/panoptic_segmentation/panoptic_maps_train/'
        dataset = DATASETS.build({'type': 'CocoPanopticDataset', 'metainfo': metainfo, **options})
    else:
        dataset = DATASETS.build({'type': 'CocoDataset', 'metainfo': metainfo, **options})
    for index in range(2):
        np.random.seed(index)
        sample = dataset[index]['data_samples']
        np.random.seed(index)
        expected = ours[index]['data_samples']
        assert len(sample.gt_instances.labels)
        for mine, theirs in zip(sample.gt_view_maps, expected.gt_view_maps):
            assert torch.equal(mine, theirs)
    model_config = copy.deepcopy(config.model)
    torch.manual_seed(0)
    model = MODELS.build(model_config)
    samples = [dataset[0], dataset[1]]
    for sample in samples:
        # the entity model has one class
        sample['data_samples'].gt_instances.labels.zero_()
    model.train()
    data = model.data_preprocessor(pseudo_collate(samples), training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    assert torch.isfinite(loss)


def test_28_crowds_of_mmdets_panoptic_dataset(demo_root):
    """28: mmdet's dataset does not name crowds: ``num_things`` tells them from stuff."""
    dataset = build(demo_root, 'panoptic', [])
    info = dataset.get_data_info(0)
    size = info['height'], info['width']
    info['segments_info'] = [
        {'id': s['id'], 'category': 7 if k == 0 else 300, 'is_thing': False}
        for k, s in enumerate(info['segments_info'])
    ]
    results = LoadEntityAnnotations(num_things=279)({**info, 'ori_shape': size})
    assert results['gt_ignore_flags'].tolist() == [True] + [False] * (
        len(info['segments_info']) - 1
    )
    assert not LoadEntityAnnotations()({**info, 'ori_shape': size})['gt_ignore_flags'].any()


def test_29_mmdet_transforms_among_ours(demo_root):
    """29: the shipped training pipeline with mmdet's transforms in place of ours trains."""
    config = demo_config()
    steps = config.train_dataloader.dataset.pipeline
    names = [step.type.split('.')[-1] for step in steps]
    assert names[2] == 'FlipEntities'
    others = [
        {'type': 'RandomFlip', 'prob': 1.0, 'direction': ['horizontal', 'vertical', 'diagonal']},
        {'type': 'RandomCrop', 'crop_size': (0.8, 0.8), 'crop_type': 'relative_range'},
        {'type': 'RandomResize', 'scale': (128, 96), 'ratio_range': (0.5, 2), 'keep_ratio': True},
        {'type': 'PhotoMetricDistortion'},
    ]
    pipeline = [*steps[:2], *others, *steps[3:]]
    dataset = build(demo_root, 'entity', pipeline, test_mode=False)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    log = train_one_step(model, dataset)
    assert np.isfinite(log['loss'])
    # a crop without an entity asks for another sample
    pipeline[3] = {'type': 'RandomCrop', 'crop_size': (2, 2)}
    small = build(demo_root, 'entity', pipeline, test_mode=False)
    assert 'skipped_samples' not in small[0]['data_samples'].metainfo


def test_29_the_documented_pipeline(demo_root):
    """29: the pipeline of docs/data.md."""
    text = (ROOT / 'docs/data.md').read_text(encoding='utf-8')
    code = next(c for c in re.findall(r'```python\n(.*?)```', text, re.DOTALL) if 'RandomCrop' in c)
    namespace = {}
    exec(code, namespace)
    steps = namespace['train_pipeline']
    steps[-2]['short_side'] = [64, 96]
    sample = build(demo_root, 'entity', steps, test_mode=False)[0]
    assert len(sample['data_samples'].gt_view_maps) == len(sample['inputs']) == 2


def test_30_mmdet_packs_our_annotations(demo_root):
    """30: PackDetInputs packs the entity map as masks of its own models."""
    pipeline = copy.deepcopy(MMDET_PIPELINE)
    pipeline[1] = {'type': 'mmentity.LoadEntityAnnotations'}
    sample = build(demo_root, 'entity', pipeline)[0]['data_samples']
    assert len(sample.gt_instances.masks) == len(sample.gt_instances.labels) > 0
    assert sample.gt_instances.masks.to_ndarray().shape[1:] == sample.img_shape


@pytest.mark.parametrize('target', ['.', 'images'])
def test_45_linked_folders(target, demo_root, tmp_path):
    """45: the data root or ``images/`` is a link."""
    if target == '.':
        (tmp_path / 'data').symlink_to(demo_root)
    else:
        (tmp_path / 'data').mkdir()
        for path in demo_root.iterdir():
            (tmp_path / 'data' / path.name).symlink_to(path)
    dataset = build(tmp_path / 'data', 'entity', [{'type': 'mmentity.LoadEntityImage'}])
    assert all('img' in results for results in dataset)


def test_46_linked_files_and_subfolders(demo_root, own_folder, tmp_path):
    """46: single files are links, as in DVC, git-annex and caches of Hugging Face."""
    root = tmp_path / 'data'
    for source in demo_root.rglob('*'):
        target = root / source.relative_to(demo_root)
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
    load = [{'type': 'mmentity.LoadEntityImage'}, {'type': 'mmentity.LoadEntityAnnotations'}]
    for task in ('entity', 'instance', 'panoptic', 'semantic'):
        assert all('img' in results for results in build(root, task, load))
    own = tmp_path / 'own'
    for folder in ('images', 'maps'):
        (own / folder).mkdir(parents=True)
        (own / folder / 'part').symlink_to(own_folder / folder)
    assert len(build(own, 'folder', load)) == len(build(own_folder, 'folder', load))


def test_metainfo_classes(demo_root):
    """Unnumbered row: ``metainfo=dict(classes=(...))`` is a subset as in mmdet."""
    every = build(demo_root, 'instance', [])
    labels = sorted({label for k in range(len(every)) for label in every.get_cat_ids(k)})
    chosen = tuple(every.metainfo['classes'][label] for label in labels[:2])
    some = build(demo_root, 'instance', [], metainfo={'classes': chosen})
    found = {label for k in range(len(some)) for label in some.get_cat_ids(k)}
    assert found == {0, 1}
    assert some.metainfo['classes'] == chosen


def test_metainfo_classes_of_a_dataset_of_one_class(demo_root):
    """Unnumbered row: more classes than the dataset has are refused."""
    with pytest.raises(ValueError, match='2 classes of its own'):
        build(demo_root, 'entity', [], metainfo={'classes': ('man', 'car')})


def test_photometric_distortion_of_views(demo_root):
    """Unnumbered row: what leaves 0..255 is clipped, and does not wrap."""
    config = demo_config()
    steps = list(config.train_dataloader.dataset.pipeline)
    colours = {'type': 'mmentity.ApplyToViews', 'transforms': [{'type': 'PhotoMetricDistortion'}]}
    pipeline = [*steps[:-1], colours]
    pipeline.insert(2, {'type': 'mmentity.FlipEntities', 'prob': 0.0})
    dataset = build(demo_root, 'entity', pipeline, test_mode=False)
    plain = build(demo_root, 'entity', [*pipeline[:-1]], test_mode=False)
    for seed in range(4):
        imgs = []
        for data in (dataset, plain):
            np.random.seed(seed)
            imgs.append(data[0]['view_imgs'][0].astype(int))
        # wrapped values would be far from the others of bright pixels
        bright = imgs[1] > 250
        assert bright.any()
        assert (imgs[0][bright] > 60).all()
