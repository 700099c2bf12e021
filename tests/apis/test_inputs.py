"""What counts as input, and under which names."""

import itertools
import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import mmentity.apis.inputs as inputs_module
from mmentity.apis.inputs import (
    ListOptions,
    count,
    describe_inputs,
    expand,
    iterate,
    list_inputs,
    to_bgr,
)
from mmentity.apis.left_out import LeftOut
from mmentity.datasets.errors import SampleError
from tests.apis.conftest import save_scenes, scene

DEFAULT = ListOptions()


def names(inputs, listing=DEFAULT, **part):
    return [image.name for image in iterate(list_inputs(inputs, listing), **part)]


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


def test_names_do_not_depend_on_how_inputs_are_split_over_calls(folder):
    assert names(f'{folder}/**/*.jpg') == ['b/deep/0', 'b/deep/1']
    inputs = [folder / 'a' / '3.png', folder / 'b' / 'deep', f'{folder}/b/*/1.jpg']
    together = [source.name for source in expand(inputs)]
    assert together == ['3', '0', '1', 'deep/1']
    assert together == [name for value in inputs for name in names(value)]


def test_names_below_a_root(folder):
    listing = ListOptions(root=folder)
    inputs = [folder / 'a' / '3.png', folder / 'b' / 'deep']
    assert names(inputs, listing) == ['a/3', 'b/deep/0', 'b/deep/1']
    assert names(inputs[1], listing) == ['b/deep/0', 'b/deep/1']
    with pytest.raises(ValueError, match='3.png is not below .*/b, the root'):
        names(inputs, ListOptions(root=folder / 'b'))


def test_inputs_of_any_iterable_come_in_their_order_one_by_one(folder):
    bgr = scene(0)[..., ::-1]
    path = str(folder / 'a' / '3.png')
    sources = expand([bgr, path, path, Image.fromarray(scene(0)), bgr])
    assert [s.name for s in sources] == ['000000', '3', '3', '000001', '000002']
    asked = []

    def endless():
        for k in itertools.count():
            asked.append(k)
            yield path if k % 2 else bgr

    taken = list(itertools.islice(iterate(expand(endless())), 4))
    assert [image.name for image in taken] == ['000000', '3', '000001', '3']
    assert asked == [0, 1, 2, 3]


def test_other_inputs_are_refused():
    with pytest.raises(ValueError, match='int is no input; give a path'):
        list(expand(7))
    (image,) = expand(torch.zeros(3, 4, 4))
    with pytest.raises(SampleError, match='is no image; give'):
        to_bgr(image.content)


def test_bytes_are_read_like_their_file(folder):
    data = (folder / 'a' / '3.png').read_bytes()
    (image,) = expand(data)
    assert np.array_equal(to_bgr(image.content), scene(3)[..., ::-1])
    with pytest.raises(SampleError, match='3.png is not a complete image'):
        to_bgr(data[:100], place='3.png')


def test_an_input_given_twice_counts_once(folder):
    assert names([folder / 'a', folder / 'a' / '3.png']) == [str(k) for k in range(11)]


def test_shards_share_the_images_out(folder):
    parts = [names(folder / 'a', part=(k, 3), every=2) for k in (1, 2, 3)]
    assert parts == [['0', '6'], ['2', '8'], ['4', '10']]
    listed = list_inputs(folder / 'a')
    assert [count(listed, 2, (k, 3)) for k in (1, 2, 3)] == [2, 2, 2]


def test_every_counts_for_each_folder_and_each_video(tmp_path):
    for name in 'abc':
        save_scenes(tmp_path / name, 7)
        write_video(tmp_path / name / 'walk.avi', 4)
    listed = list_inputs(f'{tmp_path}/*/*')
    taken = [image.name for image in iterate(listed, every=3)]
    expected = [f'{name}/{k}' for name in 'abc' for k in (0, 3, 6, 'walk/000000', 'walk/000003')]
    assert taken == expected
    assert count(listed, every=3) == 15
    parts = [[i.name for i in iterate(listed, 3, (k, 2))] for k in (1, 2)]
    assert parts == [expected[::2], expected[1::2]]
    assert [count(listed, 3, (k, 2)) for k in (1, 2)] == [8, 7]


def test_what_is_left_out_is_counted(folder, monkeypatch):
    monkeypatch.setattr(inputs_module, 'EXTRA_SUFFIXES', ())
    save_scenes(folder / 'a' / 'below', 3)
    Image.fromarray(scene(0)).save(folder / 'a' / 'move.gif')
    for name in ('x.heic', '._3.png', '.hidden.jpg'):
        (folder / 'a' / name).write_bytes(b'')
    left_out = LeftOut()
    listed = list_inputs(folder / 'a', left_out=left_out)
    assert [source.name for source in listed] == [str(k) for k in range(11)]
    text = describe_inputs(listed, left_out)
    assert text.startswith('11 images; 3 files and 1 folder left out: ')
    assert {'1 .gif', '1 .heic', '1 .txt'} == set(text.split(': ')[1].split(' (')[0].split(', '))
    assert text.endswith(' (--recursive, --frames, pip install "mmentity[heif]" for more)')


def test_a_folder_with_what_is_below_is_visited_once(folder):
    for link in ('loop', 'a/again'):
        (folder / link).symlink_to(folder, target_is_directory=True)
    every = sorted(names(folder, ListOptions(recursive=True)))
    assert every == sorted([*(f'a/{k}' for k in range(11)), 'b/deep/0', 'b/deep/1'])
    assert sorted(names(f'{folder}/**/*.*')) == every
    linked = folder / 'linked'
    linked.symlink_to(folder / 'b', target_is_directory=True)
    assert names(linked, ListOptions(recursive=True)) == ['deep/0', 'deep/1']


@pytest.mark.parametrize('suffix', ['.gif', '.png', '.webp', '.tif'])
def test_frames_of_images(tmp_path, suffix):
    frames = [Image.fromarray(scene(k)) for k in range(3)]
    options = {'lossless': True} if suffix == '.webp' else {}
    frames[0].save(tmp_path / f'move{suffix}', save_all=True, append_images=frames[1:], **options)
    frames[0].save(tmp_path / f'still{suffix}')
    listing = ListOptions(frames=True)
    images = list(iterate(list_inputs(tmp_path, listing)))
    assert [i.name for i in images] == ['move/000000', 'move/000001', 'move/000002', 'still']
    assert count(list_inputs(tmp_path, listing)) == 4
    for k, image in enumerate(images[:3]):
        assert np.abs(to_bgr(image.content)[..., ::-1].astype(int) - scene(k)).mean() < 20
    assert [i.name for i in iterate(list_inputs(tmp_path, listing), every=2)][:2] == [
        'move/000000',
        'move/000002',
    ]


def test_a_cut_file_of_frames_is_bad_images(tmp_path):
    frames = [Image.fromarray(scene(k)) for k in range(3)]
    frames[0].save(tmp_path / 'move.tif', save_all=True, append_images=frames[1:])
    data = (tmp_path / 'move.tif').read_bytes()
    (tmp_path / 'move.tif').write_bytes(data[: len(data) // 2])
    images = list(iterate(list_inputs(tmp_path, ListOptions(frames=True))))
    assert images
    assert any(image.error or image.frame is None for image in images)


def test_a_missing_input_is_an_error_or_a_bad_image(folder):
    inputs = [folder / 'none.jpg', folder / 'a' / '3.png']
    with pytest.raises(FileNotFoundError, match='none.jpg does not exist'):
        list_inputs(inputs)
    bad, good = list_inputs(inputs, ListOptions(keep_missing=True))
    assert isinstance(bad.error, FileNotFoundError)
    assert (bad.name, good.error) == ('none', None)


def test_names_that_are_no_text_are_inputs(tmp_path):
    path = os.fsencode(tmp_path) + b'/caf\xe9.png'
    Image.fromarray(scene(0)).save(tmp_path / 'a.png')
    os.rename(tmp_path / 'a.png', path)
    (image,) = list_inputs(tmp_path)
    assert os.fsencode(image.path) == path


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
        (folder / 'empty', 'empty holds no image and no video .it is empty'),
        (folder, 'holds no image and no video .3 folders left out .--recursive for more'),
        (folder / 'none.jpg', 'none.jpg does not exist'),
        (f'{folder}/*.bmp', 'no image and no video matches'),
        ([], 'there is no input'),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            list_inputs(inputs)
