import io

import numpy as np
import pytest
from PIL import Image

from mmentity.datasets import SampleError
from mmentity.datasets.geometry import corner_boxes, longest_side_size, shortest_edge_size
from mmentity.datasets.transforms import (
    CropViews,
    FlipEntities,
    LargeScaleJitter,
    LoadEntityAnnotations,
    LoadEntityImage,
    PackEntityInputs,
    ResizeViews,
)
from mmentity.structures import EntityMap
from mmentity.structures.entity_masks import EntityMasks


def test_sizes_and_boxes_of_the_official_mapper(reference):
    info, arrays = reference.load('mapper_cases')
    for (height, width), boxes, sizes in zip(
        arrays['hw'].tolist(), arrays['crop_boxes'], arrays['resized']
    ):
        crops = corner_boxes(height, width, 0.7)
        assert np.array_equal(crops, boxes)
        x0, y0, x1, y1 = crops[0].tolist()
        for style, size in zip(info['styles'], sizes.tolist()):
            limits = style['short'], style['max_long']
            whole = shortest_edge_size(height, width, *limits)
            crop = shortest_edge_size(y1 - y0, x1 - x0, *limits)
            assert [*whole, *crop] == size


@pytest.mark.parametrize('run', range(6))
def test_training_draws_of_the_official_mapper(reference, run, monkeypatch):
    info, arrays = reference.load('mapper_cases')
    train, draw = info['train'], info['train']['runs'][run]
    image = train['image']
    pixels = reference.recipe.image(image['height'], image['width'], image['seed'])
    labels = reference.recipe.entities(
        image['height'], image['width'], train['entities']['n'], train['entities']['seed']
    )
    assert reference.recipe.digest(labels) == train['entities']['crc32']
    entity_ids = arrays['entity_ids']
    results = {
        'img': np.ascontiguousarray(pixels[..., ::-1]),
        'gt_masks': EntityMasks(EntityMap.from_segment_ids(labels, entity_ids)),
    }
    results = FlipEntities(prob=float(draw['flip'])).transform(results)
    crop = draw['crop_index'][0]
    monkeypatch.setattr(np.random, 'permutation', lambda n: np.array([crop, *range(n)]))
    results = CropViews(num_crops=1).transform(results)
    assert results['view_boxes'][1].tolist() == draw['crop_region']
    results = ResizeViews(draw['short_side'], train['MAX_SIZE_TRAIN']).transform(results)
    assert list(results['view_shapes'][0]) == draw['full_size']
    assert list(results['view_shapes'][1]) == draw['crop_size']
    for view, name in enumerate(('full', 'crop')):
        entities = results['view_maps'][view]
        official = np.append(0, entity_ids)[entities.ids[0]]
        assert np.array_equal(official, arrays[f'train{run}/map_{name}'])
        assert np.array_equal(entities.areas > 0, arrays[f'train{run}/valid_{name}'])
        key = f'train{run}/image_{name}'
        if key in arrays:
            ours = results['view_imgs'][view][..., ::-1].transpose(2, 0, 1)
            assert np.array_equal(ours, arrays[key].reshape(ours.shape))


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (3, 3), (1, 5), (200, 4000), (2, 9)])
def test_any_size_gives_five_views(height, width):
    results = {'img': np.zeros((height, width, 3), np.uint8)}
    results['gt_masks'] = EntityMasks(EntityMap(np.ones((height, width), int)))
    results = ResizeViews(96, 160).transform(CropViews().transform(results))
    assert len(results['view_imgs']) == 5
    for img, entities, size in zip(
        results['view_imgs'], results['view_maps'], results['view_shapes']
    ):
        assert img.shape[:2] == size
        assert min(size) >= 1
        assert max(size) <= 160
        assert entities.areas.tolist() == [size[0] * size[1]]


@pytest.mark.parametrize('seed', range(4))
def test_large_scale_jitter_keeps_image_and_entities_together(seed):
    np.random.seed(seed)
    ids = np.zeros((60, 90), int)
    ids[10:50, 20:70] = 1
    results = {
        'img': np.where(ids[..., None] == 1, 255, 0).astype(np.uint8).repeat(3, 2),
        'gt_masks': EntityMasks(EntityMap(ids)),
    }
    results = LargeScaleJitter(size=64, scale=(0.3, 2.0)).transform(results)
    img, entities = results['view_imgs'][0], results['view_maps'][0]
    assert img.shape == (64, 64, 3)
    height, width = entities.height, entities.width
    assert (img[height:] == 128).all()
    assert (img[:, width:] == 128).all()
    inside = entities.ids[0] == 1
    assert (img[:height, :width, 0] > 127)[inside].mean() > 0.95
    assert (img[:height, :width, 0] < 128)[~inside].mean() > 0.9


def save(image, path, **options):
    image.save(path, **options)
    return {'img_path': str(path), 'img_id': 1}


def test_kinds_of_images_become_8_bit_bgr(tmp_path):
    load = LoadEntityImage().transform
    colour = Image.new('RGB', (4, 3), (10, 20, 30))
    for name, image in {
        'rgb.png': colour,
        'rgba.png': Image.new('RGBA', (4, 3), (10, 20, 30, 0)),
        'palette.png': colour.quantize(),
    }.items():
        img = load(save(image, tmp_path / name))['img']
        assert img.dtype == np.uint8
        assert img[0, 0].tolist() == [30, 20, 10], name
    assert (
        load(save(Image.new('L', (4, 3), 7), tmp_path / 'l.png'))['img'][0, 0].tolist() == [7] * 3
    )
    deep = Image.fromarray(np.full((3, 4), 257 * 200, np.uint16))
    assert load(save(deep, tmp_path / 'deep.png'))['img'][0, 0].tolist() == [200] * 3
    cmyk = load(save(colour.convert('CMYK'), tmp_path / 'cmyk.jpg', quality=100))['img']
    assert np.abs(cmyk[0, 0].astype(int) - [30, 20, 10]).max() < 8


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    results = LoadEntityImage().transform(save(image, tmp_path / 'a.png', exif=exif))
    assert results['ori_shape'] == (4, 3)
    assert np.array_equal(results['img'][..., 0], np.rot90(np.asarray(image), -1))


def jpeg_bytes(size=(64, 48)):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3)).astype(np.uint8)
    Image.fromarray(noise).save(buffer, 'JPEG')
    return buffer.getvalue()


@pytest.mark.parametrize(
    ('content', 'size', 'message'),
    [
        (None, {}, r'bad\.jpg cannot be read .* check data_root and data_prefix'),
        (b'', {}, r'bad\.jpg is not a complete image'),
        (b'some text', {}, r'bad\.jpg is not a complete image'),
        (jpeg_bytes()[:1500], {}, r'bad\.jpg is not a complete image .*truncated'),
        (
            jpeg_bytes(),
            {'height': 64, 'width': 48},
            r'bad\.jpg is 48x64 .* its annotation is for 64x48; it was rotated',
        ),
        (jpeg_bytes(), {'height': 480, 'width': 640}, 'looks like a low-resolution image'),
        (jpeg_bytes(), {'height': 24, 'width': 32}, 'looks like a high-resolution image'),
    ],
)
def test_bad_images_are_named(tmp_path, content, size, message):
    path = tmp_path / 'bad.jpg'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SampleError, match=message):
        LoadEntityImage().transform({'img_path': str(path), 'img_id': 5, **size})


def entity(segmentation, ignore=0, **more):
    return {'mask': segmentation, 'bbox_label': 0, 'ignore_flag': ignore, **more}


SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]


@pytest.mark.parametrize('more', [{}, {'seg_map_path': None}])
def test_an_image_without_annotations_is_none_of_a_semantic_map(more):
    results = {'img_path': None, 'ori_shape': (8, 8), **more}
    assert LoadEntityAnnotations().transform(dict(results)) == results


def test_an_rle_of_the_wrong_size_names_image_and_id():
    results = {'img_path': 'a/b.jpg', 'img_id': 12, 'ori_shape': (8, 8)}
    results['instances'] = [entity({'size': [4, 4], 'counts': '05;'})]
    with pytest.raises(SampleError, match=r'a/b\.jpg \(image id 12\) .* RLE of size 4x4'):
        LoadEntityAnnotations().transform(results)


def test_a_panoptic_png_of_the_wrong_size_is_named(tmp_path):
    png = tmp_path / 'seg.png'
    Image.new('RGB', (6, 4)).save(png)
    results = {'img_path': 'a.jpg', 'img_id': 1, 'ori_shape': (8, 8), 'segments_info': []}
    with pytest.raises(SampleError, match=r'seg\.png is 4x6, the image is 8x8'):
        LoadEntityAnnotations().transform({**results, 'seg_map_path': str(png)})


def packed(instances, train):
    results = {
        'img': np.zeros((8, 8, 3), np.uint8),
        'img_path': 'a.jpg',
        'img_id': 1,
        'ori_shape': (8, 8),
        'instances': instances,
    }
    steps = [CropViews(num_crops=1), ResizeViews(16, 16)]
    steps.insert(0 if train else 2, LoadEntityAnnotations())
    for step in (*steps, PackEntityInputs()):
        results = step.transform(results)
    return results['data_samples']


def test_packing_for_training_leaves_crowds_out():
    sample = packed([entity(SQUARE), entity([[6, 6, 8, 6, 8, 8, 6, 8]], 1)], train=True)
    assert sample.gt_instances.labels.tolist() == [0]
    assert [tuple(ids.shape) for ids in sample.gt_view_maps] == [(1, 16, 16)] * 2
    assert sample.gt_view_maps[0].unique().tolist() == [0, 1]


def test_packing_for_testing_keeps_the_original_size():
    sample = packed([entity(SQUARE, area=99), entity(SQUARE, 1)], train=False)
    assert sample.gt_entity_map.ids.shape == (2, 8, 8)  # they overlap: two layers
    assert sample.gt_instances.areas.tolist() == [99, 16]
    assert sample.gt_instances.iscrowd.tolist() == [False, True]
    assert sample.metainfo['view_boxes'][0] == [0, 0, 8, 8]


def test_an_image_without_entities_packs():
    assert len(packed([], train=True).gt_instances) == 0
    assert packed([], train=False).gt_entity_map.ids.sum() == 0


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: CropViews(crop_ratio=0), 'crop_ratio is 0'),
        (lambda: CropViews(num_crops=5), 'num_crops is 5; an image has 0 to 4'),
    ],
)
def test_exceptions(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_flip_mirrors_image_and_entities():
    img = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    results = {'img': img, 'gt_masks': EntityMasks(EntityMap(np.array([[1, 0, 0], [1, 2, 2]])))}
    results = FlipEntities(prob=1.0).transform(results)
    assert np.array_equal(results['img'], img[:, ::-1])
    assert results['gt_masks'].entities.ids[0].tolist() == [[0, 0, 1], [2, 2, 1]]


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((3000, 4000), (1125, 1500)),
        ((4001, 3000), (1500, 1125)),
        ((1500, 10), (1500, 10)),
        ((9000, 2), (1500, 1)),
        ((3, 2000), (2, 1500)),
    ],
)
def test_long_sides_are_shrunk(size, expected):
    assert longest_side_size(*size, 1500) == expected


@pytest.mark.parametrize('number', range(5))
def test_first_crops_in_order(number):
    results = {'img': np.zeros((40, 60, 3), np.uint8)}
    boxes = CropViews(num_crops=number, at_random=False).transform(results)['view_boxes']
    every = CropViews().transform(results)['view_boxes']
    assert np.array_equal(boxes, every[: 1 + number])
    assert boxes[:2].tolist() == [[0, 0, 60, 40], [0, 0, 42, 28]][: 1 + number]
