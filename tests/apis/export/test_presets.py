"""Output of the presets, read as the projects read it.

The readers below do what the public scripts of the projects do with these files:
which path they open, how, and what they take from it.
"""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmentity.apis.export import PRESETS, PredictionRun
from mmentity.apis.export.file_names import files_of, sequence_of
from mmentity.apis.export.writers import ResultWriter
from mmentity.apis.inputs import InputImage
from tests.apis.conftest import MODEL, make_result, save_scenes, scene, stripes
from tests.apis.test_inputs import write_video

# widths of stripes of 20 px height, so 420, 380, 1000, 520, 480 and 2000 px
WIDTHS = [21, 19, 50, 26, 24, 100]
SCORES = [0.9, 0.85, 0.7, 0.65, 0.55, 0.45]


def write(tmp_path, preset, image, widths=WIDTHS, scores=SCORES, **changes):
    options = PRESETS[preset].outputs.changed(**changes)
    result = make_result(stripes(widths), scores, image.name, path=image.path)
    writer = ResultWriter(tmp_path, tmp_path, options)
    writer.write(result, files_of(image, options))
    return result


def test_maskclustering(tmp_path):
    """ScanNet reader: <sequence>/output/mask/<frame>.png, unchanged, ids but 0 are masks."""
    image = InputImage('120', 'processed/scene0011_00/color/120.jpg')
    result = write(tmp_path, 'maskclustering', image)
    mask_dir = tmp_path / 'scene0011_00' / 'output' / 'mask'
    segmentation = cv2.imread(str(mask_dir / f'{120}.png'), cv2.IMREAD_UNCHANGED)
    assert segmentation.dtype == np.uint8
    assert segmentation.shape == (20, 240)
    ids = torch.unique(torch.from_numpy(segmentation)).numpy()
    # 0.9 (420 px), 0.7, 0.65, 0.55; 380 px is too small, 0.45 too low
    assert ids.tolist() == [0, 1, 2, 3, 4]
    for mask_id, row in zip((1, 2, 3, 4), (4, 3, 2, 0)):
        assert np.array_equal(segmentation == mask_id, result.entity_map == row + 1), SCORES[row]
    assert (segmentation[result.entity_map == 2] == 0).all()
    assert (segmentation[result.entity_map == 6] == 0).all()
    assert os.listdir(mask_dir) == ['120.png']


def test_maskclustering_thresholds_are_inclusive(tmp_path):
    image = InputImage('0', 'scene/color/0.jpg')
    write(tmp_path, 'maskclustering', image, [20, 20], [0.75, 0.5])
    segmentation = cv2.imread(str(tmp_path / 'scene/output/mask/0.png'), cv2.IMREAD_UNCHANGED)
    assert np.unique(segmentation).tolist() == [1, 2]


def test_onlineanyseg(tmp_path):
    """Reader: lists <sequence>/mask, takes the frame number off each name, opens unchanged."""
    image = InputImage('30', 'scannet/scene0011_00/frames/color/30.jpg')
    options = PRESETS['onlineanyseg'].outputs
    ids = np.zeros((480, 640), np.int32)
    ids[:20, :30], ids[30:60, :20], ids[80:130, :100], ids[200:400] = 2, 1, 3, 4
    ids[450:, :16] = 5
    result = make_result(ids, [0.9, 0.8, 0.7, 0.65, 0.6], '30', path=image.path)
    ResultWriter(tmp_path, tmp_path, options).write(result, files_of(image, options))
    mask_dir = tmp_path / 'scene0011_00' / 'mask'
    assert [int(name[:-4]) for name in os.listdir(mask_dir)] == [30]
    segmentation = cv2.imread(str(mask_dir / '30.png'), cv2.IMREAD_UNCHANGED)
    assert segmentation.dtype == np.uint8
    assert segmentation.shape == (480, 640)
    # id 1 is the best; 480 px (id 5 of the model) is below 500
    for mask_id, row in ((1, 0), (2, 1), (3, 2), (4, 3)):
        assert np.array_equal(segmentation == mask_id, ids == row + 1)
    assert segmentation.max() == 4


def test_onlineanyseg_shows_the_network_the_small_image(
    predict_tool, inferencer, weights, tmp_path
):
    color = save_scenes(
        tmp_path / 'scene0001_00' / 'frames' / 'color', 1, '.png', height=968, width=1296
    )
    code = predict_tool(
        color, '--preset', 'onlineanyseg', '--model', MODEL, '--weights', weights,
        '--device', 'cpu', '--out', tmp_path / 'out',
    )  # fmt: skip
    assert code == 0
    small = cv2.resize(scene(0, 968, 1296), (640, 480), interpolation=cv2.INTER_NEAREST)
    expected = inferencer.predict(np.ascontiguousarray(small[..., ::-1])).select(0.6, 500)
    assert len(expected) > 0
    written = cv2.imread(str(tmp_path / 'out/scene0001_00/mask/0.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(written, expected.entity_map)


def test_corrclip(tmp_path):
    """Reader: <folder>/<stem>.npz, key instance_mask, then torch; the least value is no mask."""
    image = InputImage('frankfurt/a_0.leftImg8bit', 'val/frankfurt/a_0.leftImg8bit.png')
    result = write(tmp_path, 'corrclip', image)
    stem = Path(image.path).stem
    instance_mask = np.load(os.path.join(tmp_path, stem + '.npz'))['instance_mask']
    assert instance_mask.dtype == np.int32
    assert instance_mask.shape == (20, 240)
    values = torch.unique(torch.from_numpy(instance_mask))
    assert values[0] == 0
    masks = values[1:, None, None] == torch.from_numpy(instance_mask)
    for mask, row in zip(masks, range(5)):
        assert np.array_equal(mask, result.entity_map == row + 1)
    assert len(masks) == 5
    assert np.load(tmp_path / f'{stem}.npz').files == ['instance_mask']


def read_masks(path):
    """What Gaga and Inpaint360GS make of a map: one mask for each number up to the largest."""
    id_map = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert id_map.ndim == 2
    return id_map.dtype, id_map[None] == np.arange(1, id_map.max() + 1)[:, None, None]


def test_gaga(tmp_path):
    """Reader: <scene>/raw_entityseg_mask/<name to the first dot>.png of each camera."""
    image = InputImage('0', 'mipnerf360/garden/images_4/DSC07956.rect.JPG')
    result = write(tmp_path, 'gaga', image)
    image_name = os.path.basename(image.path).split('.')[0]
    path = tmp_path / 'garden' / 'raw_entityseg_mask' / f'{image_name}.png'
    dtype, masks = read_masks(path)
    assert dtype == np.uint8
    # 0.55 is the first, 0.9 the last; 0.45 is too low
    assert len(masks) == 5
    for mask, row in zip(masks, (4, 3, 2, 1, 0)):
        assert np.array_equal(mask, result.entity_map == row + 1)
    assert os.listdir(path.parent) == ['DSC07956.png']


def test_ovimap(tmp_path):
    """Reader: <folder of the scene>/<name to the first dot>.png, as signed ids; 0 is none."""
    image = InputImage('0', 'Replica/office0/results/frame000010.jpg')
    result = write(tmp_path, 'ovimap', image)
    stem = os.path.basename(image.path).split('.')[0]
    inst_seg = cv2.imread(str(tmp_path / 'office0' / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
    inst_seg = inst_seg.astype(np.int32)
    assert inst_seg.shape == (20, 240)
    assert np.array_equal(inst_seg, np.where(result.entity_map <= 5, result.entity_map, 0))


@pytest.mark.parametrize(('number', 'expected'), [(6, np.uint8), (300, np.uint16)])
def test_inpaint360gs(tmp_path, number, expected):
    """Reader: <scene>/raw_hqsam/<stem>.png, one channel; as many objects as the largest id."""
    image = InputImage('0', 'inpaint360/car/images_2/test_0001.png')
    scores = np.linspace(0.9, 0.5, number, dtype=np.float32)
    result = write(tmp_path, 'inpaint360gs', image, [2] * number, scores)
    dtype, masks = read_masks(tmp_path / 'car' / 'raw_hqsam' / 'test_0001.png')
    assert dtype == expected
    assert len(masks) == number
    assert masks.any(axis=(1, 2)).all()
    for mask, row in ((masks[0], number - 1), (masks[-1], 0)):
        assert np.array_equal(mask, result.entity_map == row + 1)


def test_opengraph(tmp_path):
    """Reader: the masks of a frame, id by id, of at least 100 px; one part each, or near parts."""
    ids = np.zeros((200, 300), np.int32)
    # of the second best: two parts within 50 px, one far away, one too small
    ids[:20, :20], ids[:20, 60:80], ids[180:, 280:], ids[190:, :9] = 2, 2, 2, 2
    # of the best: one part, of which a speck is near; and an entity that is too small as a whole
    ids[100:120, 100:150], ids[100:103, 152:155], ids[50:59, 200:211] = 1, 1, 3
    image = InputImage('0', 'room_0/rgb/rgb_10.png')
    options = PRESETS['opengraph'].outputs
    result = make_result(ids, [0.9, 0.8, 0.7], '0', path=image.path)
    ResultWriter(tmp_path, tmp_path, options).write(result, files_of(image, options))
    mask_id = cv2.imread(str(tmp_path / 'room_0/mask/rgb_10.png'), cv2.IMREAD_UNCHANGED)
    assert mask_id.dtype == np.uint8
    masks = [mask_id == count for count in np.unique(mask_id) if count]
    expected = np.zeros_like(mask_id)
    expected[100:120, 100:150], expected[:20, :20], expected[:20, 60:80] = 1, 2, 2
    expected[180:, 280:] = 3
    assert len(masks) == 3
    assert np.array_equal(mask_id, expected)


def test_names_that_gaga_takes_for_one_are_refused(tmp_path):
    rgb = save_scenes(tmp_path / 'xyz' / 'rgb', 2)
    for k, stamp in enumerate(('1305031102.175304', '1305031102.211214')):
        os.rename(rgb / f'{k}.png', rgb / f'{stamp}.png')
    message = 'would both be written as xyz/raw_entityseg_mask/1305031102.png'
    with pytest.raises(ValueError, match=message):
        PredictionRun(rgb, tmp_path / 'out', PRESETS['gaga'].outputs)


@pytest.mark.parametrize('preset', ['maskclustering', 'onlineanyseg', 'gaga'])
def test_more_than_255_entities_are_an_error_not_a_wrap_around(tmp_path, preset):
    image = InputImage('0', 'scene/color/0.jpg')
    many = {'widths': [2] * 256, 'scores': np.linspace(0.99, 0.9, 256), 'min_area': 1}
    many |= {'size': (20, 512)}
    with pytest.raises(ValueError, match='0 has ids up to 256, uint8 holds 255; write uint16'):
        write(tmp_path, preset, image, **many)
    assert list(tmp_path.rglob('*.*')) == []
    write(tmp_path, preset, image, **many, id_dtype='uint16')
    (png,) = tmp_path.rglob('0.png')
    assert len(np.unique(cv2.imread(str(png), cv2.IMREAD_UNCHANGED))) == 256


@pytest.mark.parametrize(
    ('path', 'sequence'),
    [
        ('Replica/room0/results/frame000000.jpg', 'room0'),
        ('rgbd_dataset_freiburg1_xyz/rgb/1305031102.175304.png', 'rgbd_dataset_freiburg1_xyz'),
        ('data/scannet/processed/scene0011_00/color/0.jpg', 'scene0011_00'),
        ('data/scannetpp/data/0d2ee665be/iphone/rgb/frame_000000.jpg', '0d2ee665be'),
        ('scans/2t7WUuJeko7/2t7WUuJeko7/undistorted_color_images/x_i0_0.jpg', '2t7WUuJeko7'),
        ('data/scannet/scene0011_00/frames/color/0.jpg', 'scene0011_00'),
        ('data/SceneNN/011/image/image00001.png', '011'),
        ('my_walk/0.jpg', 'my_walk'),
        ('mipnerf360/garden/images_4/DSC07956.JPG', 'garden'),
    ],
)
def test_sequences_are_read_off_the_folders(path, sequence):
    assert sequence_of(InputImage('0', path)) == sequence


@pytest.mark.parametrize(
    ('path', 'preset', 'file'),
    [
        # root of MatterportDataset: scans/SCAN/SCAN
        ('scans/2t7WUuJeko7/2t7WUuJeko7/undistorted_color_images/x_i0_0.jpg', 'maskclustering',
         '2t7WUuJeko7/2t7WUuJeko7/output/mask/x_i0_0.png'),
        ('data/scannetpp/data/0d2ee665be/iphone/rgb/frame_000010.jpg', 'maskclustering',
         '0d2ee665be/output/mask/frame_000010.png'),
        ('Replica/room0/results/frame000000.jpg', 'onlineanyseg', 'room0/mask/frame000000.png'),
        ('tum/xyz/rgb/1305031102.175304.png', 'onlineanyseg', 'xyz/mask/1305031102.175304.png'),
        ('7scenes/chess/seq-01/frame-000001.color.png', 'maskclustering',
         'seq-01/output/mask/frame-000001.png'),
    ],
)  # fmt: skip
def test_places(path, preset, file):
    image = InputImage('0', path)
    assert files_of(image, PRESETS[preset].outputs)['idmap'] == file


def test_time_stamps_do_not_collide(tmp_path):
    """Frames of TUM within one second."""
    rgb = save_scenes(tmp_path / 'xyz' / 'rgb', 2)
    for k, stamp in enumerate(('1305031102.175304', '1305031102.211214')):
        os.rename(rgb / f'{k}.png', rgb / f'{stamp}.png')
    run = PredictionRun(rgb, tmp_path / 'out', PRESETS['onlineanyseg'].outputs)
    assert len(run.listed) == 2


def test_frames_of_a_video_belong_to_its_sequence(tmp_path):
    image = InputImage('walk/000012', 'walk.mp4', 12)
    assert files_of(image, PRESETS['onlineanyseg'].outputs)['idmap'] == 'walk/mask/000012.png'
    named = PRESETS['maskclustering'].outputs.changed(sequence='room')
    assert files_of(image, named)['idmap'] == 'room/output/mask/000012.png'


def test_a_video_names_the_sequence_of_its_run(tmp_path):
    write_video(tmp_path / 'clips' / 'walk.avi')
    run = PredictionRun(tmp_path / 'clips' / 'walk.avi', tmp_path, PRESETS['onlineanyseg'].outputs)
    assert run.manifest_path().name == 'manifest-walk.json'


def test_a_layout_wins_over_the_places_of_a_preset():
    outputs = PRESETS['maskclustering'].outputs
    options = outputs.changed(layout='{sequence}/sam/mask/{frame}', beside='')
    files = files_of(InputImage('120', 'scene/color/120.jpg'), options)
    assert files == {
        'idmap': 'scene/sam/mask/120.png',
        'sidecar': 'entities/scene/sam/mask/120.json',
    }


def test_presets_can_be_changed_from_the_command_line(predict_tool, weights, tmp_path):
    color = save_scenes(tmp_path / 'scene' / 'color', 2, '.jpg')
    code = predict_tool(
        f'{color}/*0.jpg', '--preset', 'maskclustering', '--min-area', 10, '--format', 'overlay',
        '--model', MODEL, '--weights', weights, '--device', 'cpu', '--out', tmp_path / 'out',
    )  # fmt: skip
    assert code == 0
    below = tmp_path / 'out' / 'scene' / 'output'
    assert (below / 'overlay' / '0.jpg').is_file()
    record = json.loads((below / 'entities' / '0.json').read_text())
    written = cv2.imread(str(below / 'mask' / '0.png'), cv2.IMREAD_UNCHANGED)
    scores = [entity['score'] for entity in record['entities']]
    assert scores == sorted(scores)
    assert [entity['id'] for entity in record['entities']] == list(range(1, len(scores) + 1))
    for entity in record['entities']:
        assert entity['area'] == (written == entity['id']).sum() >= 10
