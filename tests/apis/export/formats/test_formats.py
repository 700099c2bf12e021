"""All formats of one run of the command, and what is refused."""

import json
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmentity.apis.export import OutputOptions, PredictionRun
from mmentity.apis.export.formats import DATASETS, ENCODERS
from mmentity.apis.export.layout import PLACES, WHOLE_RUN_FILES
from mmentity.apis.export.options import FEATURE_FORMATS, FORMATS
from mmentity.structures.id_map import ids_of_colours
from tests.apis.conftest import MODEL, save_scenes
from tests.apis.export.formats.conftest import SIZE, HandmadeInferencer
from tests.apis.test_inputs import write_video

OF_TOOLS = ('coco', 'panoptic', 'labelme', 'cvat', 'labelstudio')


def test_every_format_has_its_tables():
    assert set(ENCODERS) == {*OF_TOOLS, *FEATURE_FORMATS} <= set(FORMATS) <= set(PLACES)
    assert set(DATASETS) == set(WHOLE_RUN_FILES) < set(ENCODERS)


def test_the_command_writes_the_same_entities_in_all(predict_tool, weights, tmp_path):
    folder = save_scenes(tmp_path / 'in', 2)
    (folder / 'bad.png').write_text('no image')
    out = tmp_path / 'out'
    fixed = ('--model', MODEL, '--weights', weights, '--device', 'cpu', '--out', out)
    formats = ','.join(('idmap', *OF_TOOLS))
    assert predict_tool(folder, *fixed, '--format', formats, '--polygons', '--min-area', 9) == 1
    coco = COCO(out / 'coco.json')
    root = ElementTree.parse(out / 'cvat.xml').getroot()
    tasks = json.loads((out / 'labelstudio.json').read_text())
    panoptic = json.loads((out / 'panoptic.json').read_text())
    for k in (0, 1):
        ids = cv2.imread(str(out / f'idmap/{k}.png'), cv2.IMREAD_UNCHANGED).astype(np.int32)
        numbers = list(range(1, ids.max() + 1))
        assert len(numbers) > 2
        assert coco.imgs[k]['file_name'] == f'{k}.png'
        assert sum(coco.annToMask(a) * a['entity_id'] for a in coco.imgToAnns[k]).tolist() == (
            ids.tolist()
        )
        assert [s['id'] for s in panoptic['annotations'][k]['segments_info']] == numbers
        colours = cv2.imread(str(out / f'panoptic/{k}.png'))[..., ::-1]
        assert np.array_equal(ids_of_colours(colours), ids)
        shapes = json.loads((out / f'labelme/{k}.json').read_text())['shapes']
        assert {shape['group_id'] for shape in shapes} == set(numbers)
        assert len(root.findall('image')[k].findall('mask')) == len(numbers)
        assert len(tasks[k]['predictions'][0]['result']) == len(numbers)
    assert len(coco.imgs) == len(tasks) == len(root.findall('image')) == 2


def test_frames_of_videos_are_images_without_a_file(tmp_path):
    video = write_video(tmp_path / 'walk.avi', 2)
    maps = dict.fromkeys(('walk/000000', 'walk/000001'), np.ones(SIZE, np.int32))
    run = PredictionRun(video, tmp_path / 'out', OutputOptions(('coco', 'cvat')))
    assert run(HandmadeInferencer(maps=maps)).written == 2
    images = COCO(tmp_path / 'out/coco.json').imgs
    assert {k: image['file_name'] for k, image in images.items()} == {
        0: 'walk/000000',
        1: 'walk/000001',
    }
    run = PredictionRun(video, tmp_path / 'labelme', OutputOptions(('labelme',)))
    manifest = run(HandmadeInferencer(maps=maps))
    assert [failure['cause'] for failure in manifest.failures] == ['no-image-file'] * 2


def test_an_image_that_is_named_like_the_file_of_all(tmp_path):
    folder = save_scenes(tmp_path / 'in', 1)
    (folder / '0.png').rename(folder / 'coco.png')
    with pytest.raises(ValueError, match=r'coco\.png would be written as coco\.json, which is'):
        PredictionRun(folder, tmp_path / 'out', OutputOptions(('coco',), layout='{name}'))
    PredictionRun(folder, tmp_path / 'out', OutputOptions(('coco',)))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'formats': ('idmap', 'cvat'), 'size': (9, 9)}, 'format cvat lays the entities over'),
        ({'formats': ('idmap', 'cvat'), 'polygons': True}, 'polygons is of the format coco or'),
        ({'image_url': 's3://x/'}, 'image-url is of the format labelstudio; name it too'),
        ({'formats': ('cvat',), 'layout': '{name}.json'}, 'places cvat, of which files end in'),
    ],
)
def test_options_that_do_not_fit_a_format(options, message):
    with pytest.raises(ValueError, match=message):
        OutputOptions(**options)


def test_resized_results_make_data_sets_of_their_size(write):
    written = write('coco', 'panoptic', size=(12, 16))
    coco = COCO(written.out / 'coco.json')
    sizes = {(image['height'], image['width']) for image in coco.imgs.values()}
    assert sizes == {(12, 16)}
    # the single pixel has vanished
    assert {a['entity_id'] for a in coco.imgToAnns[2]} == {1, 2, 3}
    assert all(a['area'] == coco.annToMask(a).sum() > 0 for a in coco.anns.values())


def test_without_images_data_sets_are_empty(tmp_path):
    folder = save_scenes(tmp_path / 'in', 1)
    (folder / '0.png').write_text('no image')
    inferencer = HandmadeInferencer(maps={})
    inferencer.outcomes = lambda images, _: ((image, ValueError('bad')) for image in images)
    options = OutputOptions(('coco', 'panoptic', 'cvat', 'labelstudio'))
    assert len(PredictionRun(folder, tmp_path / 'out', options)(inferencer).failures) == 1
    assert COCO(tmp_path / 'out/coco.json').imgs == {}
    assert json.loads((tmp_path / 'out/panoptic.json').read_text())['annotations'] == []
    assert json.loads((tmp_path / 'out/labelstudio.json').read_text()) == []
    assert ElementTree.parse(tmp_path / 'out/cvat.xml').getroot().find('image') is None
