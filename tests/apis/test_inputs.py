"""What counts as input, and under which names."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmentity.apis.inputs import count, iterate, list_inputs, to_bgr
from mmentity.datasets.errors import SampleError
from tests.apis.conftest import save_scenes, scene


def names(inputs, **part):
    return [image.name for image in iterate(list_inputs(inputs), **part)]


@pytest.fixture
def folder(tmp_path):
    save_scenes(tmp_path / 'a', 11)
    (tmp_path / 'a' / 'notes.txt').write_text('no image')
    save_scenes(tmp_path / 'b' / 'deep', 2, '.jpg')
    return tmp_path


def write_video(path, frames=5):
    path.parent.mkdir(exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for k in range(frames):
        writer.write(np.full((48, 64, 3), 40 * k, np.uint8))
    writer.release()
    return path


def test_a_folder_is_read_in_natural_order(folder):
    assert names(folder / 'a') == [str(k) for k in range(11)]


def test_names_are_relative_to_what_inputs_have_in_common(folder):
    assert names(f'{folder}/**/*.jpg') == ['b/deep/0', 'b/deep/1']
    assert names([folder / 'a' / '3.png', folder / 'b' / 'deep']) == [
        'a/3',
        'b/deep/0',
        'b/deep/1',
    ]
    assert names(folder / 'a' / '3.png') == ['3']


def test_an_input_given_twice_counts_once(folder):
    assert names([folder / 'a', folder / 'a' / '3.png']) == [str(k) for k in range(11)]


def test_shards_share_the_images_out(folder):
    parts = [names(folder / 'a', part=(k, 3), every=2) for k in (1, 2, 3)]
    assert parts == [['0', '6'], ['2', '8'], ['4', '10']]
    listed = list_inputs(folder / 'a')
    assert [count(listed, 2, (k, 3)) for k in (1, 2, 3)] == [2, 2, 2]


def test_a_video_is_its_frames(tmp_path):
    video = write_video(tmp_path / 'walk.avi')
    frames = list(iterate(list_inputs(video)))
    assert [frame.name for frame in frames] == [f'walk/{k:06d}' for k in range(5)]
    assert [round(frame.content.mean() / 40) for frame in frames] == [0, 1, 2, 3, 4]
    second = list(iterate(list_inputs(video), every=2))
    assert [frame.frame for frame in second] == [0, 2, 4]
    assert np.array_equal(second[1].content, frames[2].content)


def test_a_broken_video_is_one_bad_image(tmp_path):
    (tmp_path / 'walk.mp4').write_text('no video')
    (bad,) = iterate(list_inputs(tmp_path))
    assert 'no video that OpenCV can read' in str(bad.error)


def test_images_in_memory():
    rgb = scene(0)
    bgr = rgb[..., ::-1]
    listed = list_inputs([bgr, Image.fromarray(rgb)])
    assert [image.name for image in listed] == ['000000', '000001']
    for content in (bgr, Image.fromarray(rgb), np.dstack([bgr, bgr[..., 0]])):
        assert np.array_equal(to_bgr(content), bgr)
    assert np.array_equal(to_bgr(rgb[..., 0])[..., 2], rgb[..., 0])


def test_pil_images_are_converted_like_files(tmp_path):
    grey = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024
    Image.fromarray(grey).save(tmp_path / 'grey16.png')
    with Image.open(tmp_path / 'grey16.png') as image:
        assert np.array_equal(to_bgr(image)[..., 0], grey // 257)
    with pytest.raises(SampleError, match='floating point'):
        to_bgr(Image.fromarray(grey.astype(np.float32)))


@pytest.mark.parametrize('content', [scene(0).astype(float), np.zeros((4,), np.uint8), 'text'])
def test_other_arrays_are_refused(content):
    with pytest.raises(SampleError, match='is no image; give'):
        to_bgr(content)


def test_wrong_inputs_are_named(folder):
    (folder / 'empty').mkdir()
    for inputs, message in (
        (folder / 'empty', 'empty holds no image.*no video.*a glob such as'),
        (folder / 'none.jpg', 'none.jpg does not exist'),
        (f'{folder}/*.bmp', 'no image and no video matches'),
        ([], 'there is no input'),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            list_inputs(inputs)


def test_two_images_of_one_name_are_refused(folder):
    Image.fromarray(scene(0)).save(folder / 'a' / '3.jpg')
    with pytest.raises(ValueError, match='3.jpg and .*3.png have the same name'):
        list_inputs(folder / 'a')
