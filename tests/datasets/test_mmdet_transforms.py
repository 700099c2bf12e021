"""mmdet's transforms on entity maps: against ours, and against its own masks."""

import copy
import random

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmdet.utils import register_all_modules
from mmengine.dataset import Compose

from mmentity.datasets.transforms import (
    ApplyToViews,
    CropViews,
    FlipEntities,
    LargeScaleJitter,
    LoadEntityAnnotations,
    PackEntityInputs,
    RandomCropViews,
    ResizeViews,
)
from mmentity.structures import EntityMap
from mmentity.structures.entity_masks import EntityMasks

register_all_modules(init_default_scope=True)
SIZE = (90, 120)
# grey value of no entity and of each entity
GREYS = np.array([0, 40, 80, 120, 160], np.uint8)


def drawn_ids():
    """Four entities over most of an image."""
    ids = np.zeros(SIZE, int)
    ids[5:40, 4:50] = 1
    ids[5:40, 50:110] = 2
    ids[40:88, 10:60] = 3
    ids[60:70, 20:40] = 4
    return ids


def drawn(seed=None):
    """A sample whose image is drawn from its map, or noise."""
    entities = EntityMap(drawn_ids())
    img = GREYS[entities.ids[0]][..., None].repeat(3, 2)
    if seed is not None:
        img = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    instances = [
        {'mask': rle, 'bbox_label': 10 * k, 'ignore_flag': k == 2, 'area': k + 0.5}
        for k, rle in enumerate(entities.rles(), start=1)
    ]
    sample = {'img_path': 'drawn.png', 'img_id': 1, 'instances': instances}
    return LoadEntityAnnotations()({**sample, 'img': img, 'img_shape': SIZE, 'ori_shape': SIZE})


def pillow_rescale(masks, scale, interpolation='nearest'):
    """BitmapMasks.rescale with Pillow, as ResizeViews resizes maps."""
    resized = EntityMasks.of(masks).rescale(scale)
    return BitmapMasks(resized.to_ndarray(), resized.height, resized.width)


def with_bitmaps(sample):
    """The same sample as mmdet's loader gives it."""
    masks = sample['gt_masks'].to_ndarray()
    return {**copy.deepcopy(sample), 'gt_masks': BitmapMasks(masks, *SIZE)}


def seeded(transform, results, seed):
    np.random.seed(seed)
    random.seed(seed)
    return transform(results)


def resize(kind, **options):
    return {'type': kind, 'backend': 'pillow', 'interpolation': 'nearest', **options}


WRAPPED = {'type': 'Resize', 'backend': 'pillow', 'interpolation': 'nearest', 'keep_ratio': True}
# those that move whole pixels, or take the nearest one for image and masks alike
EXACT = [
    [{'type': 'RandomFlip', 'prob': 1.0, 'direction': direction}]
    for direction in ('horizontal', 'vertical', 'diagonal')
] + [
    [resize('Resize', scale=(75, 81))],
    [resize('Resize', scale=(60, 200), keep_ratio=True)],
    [resize('FixShapeResize', width=75, height=81)],
    [resize('FixScaleResize', scale=(200, 75))],
    [{'type': 'RandomChoiceResize', 'scales': [(60, 50), (90, 200)], **{
        'resize_type': 'Resize', **{k: v for k, v in WRAPPED.items() if k != 'type'}}}],
    [{'type': 'RandomResize', 'scale': (120, 90), 'ratio_range': (0.3, 2), **{
        'resize_type': 'Resize', **{k: v for k, v in WRAPPED.items() if k != 'type'}}}],
    [{'type': 'RandomCrop', 'crop_size': (50, 40)}],
    [{'type': 'RandomCrop', 'crop_size': (50, 40), 'recompute_bbox': True}],
    [{'type': 'RandomCrop', 'crop_size': (0.3, 0.4), 'crop_type': 'relative_range'}],
    [{'type': 'Pad', 'size': (130, 100)}],
    [{'type': 'Pad', 'size_divisor': 32}],
    [{'type': 'Expand', 'prob': 1.0}],
    [{'type': 'MinIoURandomCrop'}],
    [{'type': 'TranslateX', 'level': 5, 'img_border_value': 0}],
    [{'type': 'TranslateY', 'level': 5, 'img_border_value': 0}],
    [{'type': 'ShearX', 'level': 7, 'img_border_value': 0, 'interpolation': 'nearest'}],
    [{'type': 'ShearY', 'level': 7, 'img_border_value': 0, 'interpolation': 'nearest'}],
    [{'type': 'Rotate', 'level': 7, 'img_border_value': 0, 'interpolation': 'nearest'}],
    [{'type': 'RandomErasing', 'n_patches': 4, 'ratio': 0.2, 'img_border_value': 0}],
    [{'type': 'FilterAnnotations', 'min_gt_bbox_wh': (25, 25), 'by_mask': True,
      'min_gt_mask_area': 900}],
    [
        {'type': 'RandomFlip', 'prob': 0.5},
        {'type': 'Expand', 'prob': 0.5},
        {'type': 'RandomCrop', 'crop_size': (80, 70), 'allow_negative_crop': True},
        resize('Resize', scale=(64, 64)),
        {'type': 'Pad', 'size': (96, 96)},
    ],
]  # fmt: skip


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('steps', EXACT, ids=lambda steps: '-'.join(s['type'] for s in steps))
def test_transforms_keep_image_and_entities_together(steps, seed, monkeypatch):
    monkeypatch.setattr('mmcv.image.geometric.imread_backend', 'pillow')
    pipeline = Compose(steps)
    sample = drawn()
    expected = seeded(pipeline, with_bitmaps(sample), seed)
    results = seeded(pipeline, sample, seed)
    masks = results['gt_masks']
    assert np.array_equal(masks.to_ndarray(), expected['gt_masks'].to_ndarray())
    assert np.array_equal(results['img'], expected['img'])
    assert np.array_equal(results['gt_bboxes'].tensor, expected['gt_bboxes'].tensor)
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        assert np.array_equal(results[key], expected[key])
    # labels, crowds and areas belong to the entities still
    numbers = results['gt_bboxes_labels'] // 10
    assert np.array_equal(results['gt_ignore_flags'], numbers == 2)
    # where an entity is left, the image has its colour
    if 'FilterAnnotations' not in [step['type'] for step in steps]:
        painted = np.concatenate([GREYS[:1], GREYS[numbers]])[masks.entities.ids[0]]
        inside = masks.entities.ids[0] > 0
        assert np.array_equal(results['img'][inside][:, 0], painted[inside])
    # our steps take the result as it is
    packed = PackEntityInputs()(ResizeViews(64, 96)(results))['data_samples']
    assert packed.gt_instances.labels.tolist() == [n * 10 for n in numbers if n != 2]


@pytest.mark.parametrize('kind', ['CachedMosaic', 'CachedMixUp', 'CopyPaste'])
def test_mixing_transforms(kind, monkeypatch):
    monkeypatch.setattr(BitmapMasks, 'rescale', pillow_rescale)
    steps = {
        # mmdet swaps height and width of the masks of a mosaic that is not a square
        'CachedMosaic': {'type': kind, 'img_scale': (100, 100), 'max_cached_images': 4},
        'CachedMixUp': {'type': kind, 'img_scale': (100, 100), 'max_cached_images': 4},
        'CopyPaste': {'type': kind},
    }
    outcomes = []
    for make in (lambda sample: sample, with_bitmaps):
        transform = TRANSFORMS.build(copy.deepcopy(steps[kind]))
        others = [make(drawn(seed)) for seed in range(6)]
        if kind == 'CopyPaste':
            sample = {**make(drawn(9)), 'mix_results': [others[0]]}
            outcomes.append(seeded(transform, sample, 1))
            continue
        for number, sample in enumerate(others):
            np.random.seed(number)
            random.seed(number)
            mixed = transform(sample)
        outcomes.append(mixed)
    results, expected = outcomes
    assert np.array_equal(results['gt_masks'].to_ndarray(), expected['gt_masks'].to_ndarray())
    assert np.array_equal(results['img'], expected['img'])
    assert np.array_equal(results['gt_bboxes_labels'], expected['gt_bboxes_labels'])
    views = ResizeViews(64, 96)(results)
    assert views['view_maps'][0].num_entities == len(expected['gt_masks'])


@pytest.mark.parametrize('seed', range(6))
def test_flip_equals_ours(seed):
    ours = seeded(FlipEntities(prob=0.5), drawn(3), seed)
    theirs = seeded(TRANSFORMS.build({'type': 'RandomFlip', 'prob': 0.5}), drawn(3), seed)
    assert ours['flip'] == theirs['flip']
    assert np.array_equal(ours['img'], theirs['img'])
    assert ours['gt_masks'].entities == theirs['gt_masks'].entities
    assert np.array_equal(ours['gt_bboxes'].tensor, theirs['gt_bboxes'].tensor)


@pytest.mark.parametrize('short_side', [40, 64, 90, 150])
def test_resize_equals_ours(short_side):
    """With Pillow, which antialiases and which ResizeViews uses; OpenCV interpolates otherwise."""
    ours = ResizeViews(short_side, 1333)(drawn(3))
    height, width = ours['view_shapes'][0]
    step = {'type': 'Resize', 'scale': (width, height), 'backend': 'pillow'}
    theirs = TRANSFORMS.build(step)(drawn(3))
    assert np.array_equal(ours['view_imgs'][0], theirs['img'])
    assert ours['view_maps'][0] == theirs['gt_masks'].entities
    # and ResizeViews leaves alone what has its size
    views = ResizeViews(short_side, 1333)(theirs)
    assert np.array_equal(views['view_imgs'][0], ours['view_imgs'][0])
    assert views['view_maps'] == ours['view_maps']


@pytest.mark.parametrize('seed', range(4))
def test_choice_of_sizes_equals_ours(seed):
    sides = [48, 64, 90]
    ours = seeded(ResizeViews(sides, 200), drawn(3), seed)
    step = {
        'type': 'RandomChoiceResize',
        'scales': [(200, side) for side in sides],
        'resize_type': 'Resize',
        'keep_ratio': True,
        'backend': 'pillow',
    }
    theirs = seeded(TRANSFORMS.build(step), drawn(3), seed)
    assert np.array_equal(ours['view_imgs'][0], theirs['img'])
    assert ours['view_maps'][0] == theirs['gt_masks'].entities


@pytest.mark.parametrize('seed', range(4))
def test_crop_equals_ours(seed):
    step = {'type': 'RandomCrop', 'crop_size': (64, 64), 'allow_negative_crop': True}
    theirs = seeded(TRANSFORMS.build(step), drawn(3), seed)
    views = ResizeViews(SIZE[0], 1333)(drawn(3))
    ours = seeded(RandomCropViews(64), views, seed)
    assert np.array_equal(ours['view_imgs'][0], theirs['img'])
    kept = theirs['gt_bboxes_labels'] // 10
    table = np.append(0, kept)[theirs['gt_masks'].entities.ids]
    assert np.array_equal(ours['view_maps'][0].ids, table)


GEOMETRIC = [
    {'type': 'RandomFlip', 'prob': 1.0},
    {'type': 'RandomCrop', 'crop_size': (50, 40)},
    {'type': 'Resize', 'scale': (50, 40)},
    {'type': 'Pad', 'size': (130, 130)},
    {'type': 'Rotate', 'level': 5},
    {'type': 'Expand', 'prob': 1.0},
    {'type': 'PhotoMetricDistortion'},
    {'type': 'mmseg.RandomFlip', 'prob': 1.0},
    {'type': 'mmseg.PhotoMetricDistortion'},
]


@pytest.mark.parametrize('step', GEOMETRIC, ids=lambda step: step['type'])
@pytest.mark.parametrize('views', [ResizeViews(64, 96), LargeScaleJitter(64)])
def test_transforms_after_the_views_raise(step, views):
    with pytest.raises(ValueError, match='the views of this image are made already'):
        TRANSFORMS.build(step)(views(drawn()))


@pytest.mark.parametrize('step', [FlipEntities(), CropViews(), ResizeViews(), LargeScaleJitter()])
def test_our_steps_after_the_views_raise(step):
    with pytest.raises(ValueError, match=f'{type(step).__name__} comes after the views'):
        step(ResizeViews(64, 96)(drawn()))


@pytest.mark.parametrize('step', [FlipEntities(), CropViews(), ResizeViews(), LargeScaleJitter()])
def test_our_steps_compare_sizes(step):
    sample = drawn()
    sample['img'] = sample['img'][:80]
    message = rf'before {type(step).__name__}, the image is 80x120 .* entities 90x120 \(height'
    with pytest.raises(ValueError, match=message):
        step(sample)
    sample = drawn()
    sample['gt_bboxes_labels'] = sample['gt_bboxes_labels'][1:]
    with pytest.raises(ValueError, match='gt_bboxes_labels has 3 entries and gt_masks 4 entities'):
        step(sample)


@pytest.mark.parametrize(
    ('step', 'message'),
    [
        ({'type': 'mmseg.RandomCrop', 'crop_size': (40, 40)}, r'the image is 40x40 .* 90x120'),
        ({'type': 'RandomShift', 'prob': 1.0, 'max_shift_px': 60}, 'have moved apart'),
        ({'type': 'mmseg.RandomFlip', 'prob': 1.0}, None),
        ({'type': 'mmcv.RandomFlip', 'prob': 1.0}, None),
        ({'type': 'mmcv.Resize', 'scale': (50, 50)}, None),
    ],
    ids=lambda value: value['type'] if isinstance(value, dict) else None,
)
def test_transforms_that_know_no_masks_do_not_pass_silently(step, message):
    def run():
        results = drawn()
        for seed in range(3):
            results = ResizeViews(64, 96)(seeded(TRANSFORMS.build(step), drawn(), seed))
        return results

    expected = (ValueError, AttributeError, TypeError, NotImplementedError)
    with pytest.raises(expected, match=message):
        run()


def test_annotations_are_loaded_before_the_image_is_changed():
    sample = {key: value for key, value in drawn().items() if not key.startswith('gt_')}
    sample['instances'] = []
    for step in ({'type': 'RandomFlip', 'prob': 1.0}, {'type': 'Rotate', 'level': 5, 'prob': 1.0}):
        changed = TRANSFORMS.build(step)(copy.deepcopy(sample))
        with pytest.raises(ValueError, match='put LoadEntityAnnotations right after the image'):
            LoadEntityAnnotations()(changed)
    smaller = TRANSFORMS.build({'type': 'Resize', 'scale': (60, 45)})(copy.deepcopy(sample))
    with pytest.raises(ValueError, match='the image is 45x60 and the map of its entities 90x120'):
        LoadEntityAnnotations()(smaller)
    assert len(LoadEntityAnnotations()(sample)['gt_masks']) == 0


def test_apply_to_views_clips_and_refuses_to_move():
    class Brighter:
        def __call__(self, results):
            return {**results, 'img': results['img'].astype(np.float32) * 2.2 - 44.6}

    step = ApplyToViews([])
    step.transforms = Brighter()
    grey = ResizeViews(90, 120)({'img': np.full((*SIZE, 3), 20, np.uint8)})
    assert step(grey)['view_imgs'][0].max() == 0
    bright = ResizeViews(90, 120)({'img': np.full((*SIZE, 3), 200, np.uint8)})
    assert step(bright)['view_imgs'][0].min() == 255
    for kind in ({'type': 'RandomFlip', 'prob': 1.0}, {'type': 'Resize', 'scale': (9, 9)}):
        with pytest.raises(ValueError, match='moves or resizes views'):
            ApplyToViews([kind])(ResizeViews(64, 96)(drawn()))


@pytest.mark.parametrize('seed', range(8))
def test_photometric_distortion_does_not_wrap(seed):
    step = {'type': 'PhotoMetricDistortion'}
    sample = drawn()
    sample['img'] = np.full((*SIZE, 3), 250, np.uint8)
    expected = seeded(TRANSFORMS.build(step), copy.deepcopy(sample), seed)['img']
    expected = np.clip(np.rint(expected), 0, 255)
    views = ResizeViews(*SIZE)(copy.deepcopy(sample))
    inside = seeded(ApplyToViews([step]), views, seed)['view_imgs'][0]
    before = ResizeViews(*SIZE)(seeded(TRANSFORMS.build(step), sample, seed))['view_imgs'][0]
    for img in (inside, before):
        assert img.dtype == np.uint8
        assert np.array_equal(img, expected)


def test_boxes_are_those_of_mmdet():
    sample = drawn()
    assert isinstance(sample['gt_bboxes'], HorizontalBoxes)
    assert sample['gt_bboxes'].tensor[3].tolist() == [20, 60, 40, 70]
