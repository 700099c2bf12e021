"""Crops that CropFormer sees beside the whole image."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope

from mmentity.apis import EntityInferencer
from mmentity.apis.crops import with_crops
from mmentity.apis.inferencer import LoadOptions
from mmentity.apis.inputs import InputImage
from mmentity.utils.shipped_configs import get_config
from tests.apis.conftest import MODEL, save_scenes, scene

CROPFORMER = 'cropformer_swin-nano_demo'
IMAGE = np.ascontiguousarray(scene(0, 96, 128)[..., ::-1])


@pytest.fixture(scope='module')
def model():
    """A CropFormer of random weights whose classes are certain."""
    torch.manual_seed(0)
    config = get_config(CROPFORMER)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config.model)
    with torch.no_grad():
        model.panoptic_head.cls_embed.bias.copy_(torch.tensor([4.0, -4.0]))
        model.panoptic_head.mask_embed[-1].weight.mul_(20)
    model.cfg = config
    return model.eval()


def inferencer_of(model, crops):
    return EntityInferencer(model, device='cpu', show_progress=False, crops=crops)


@pytest.mark.parametrize(('crops', 'views'), [(None, 5), (4, 5), (1, 2), (0, 1)])
def test_the_network_sees_the_whole_image_and_the_first_crops(model, crops, views):
    inferencer = inferencer_of(model, crops)
    packed = inferencer._load(InputImage('0', content=IMAGE), LoadOptions()).packed
    assert len(packed['inputs']) == views
    boxes = packed['data_samples'].metainfo['view_boxes']
    assert np.array_equal(boxes[:2], [[0, 0, 128, 96], [0, 0, 89, 67]][:views])
    result = inferencer.predict(IMAGE)
    assert result.entity_map.shape == (96, 128)
    assert len(result) > 0


def test_all_four_are_what_is_seen_by_default(model):
    default, four, one, none = (
        inferencer_of(model, crops).predict(IMAGE).entity_map for crops in (None, 4, 1, 0)
    )
    assert np.array_equal(default, four)
    assert not np.array_equal(one, four)
    assert not np.array_equal(none, one)


def test_the_config_of_the_model_stays_as_it_is(model):
    before = model.cfg.pretty_text
    inferencer_of(model, 1)
    assert model.cfg.pretty_text == before
    config = get_config(CROPFORMER)
    changed = with_crops(config, 0)
    assert changed.model.test_cfg.one_view
    assert 'one_view' not in config.model.test_cfg
    assert changed.filename == config.filename


@pytest.mark.parametrize(
    ('name', 'crops', 'message'),
    [
        (CROPFORMER, 5, 'crops is 5; an image has 0 to 4 corner crops'),
        (CROPFORMER, -1, 'crops is -1; an image has 0 to 4 corner crops'),
        (MODEL, 1, r'test pipeline of .*mask2former_swin-nano_demo.py has no CropViews'),
    ],
)
def test_wrong_numbers(name, crops, message):
    with pytest.raises(ValueError, match=message):
        EntityInferencer(name, device='cpu', crops=crops)


def test_on_the_command_line(model, predict_tool, tmp_path):
    weights = tmp_path / 'random.pth'
    torch.save({'state_dict': model.state_dict()}, weights)
    scenes = save_scenes(tmp_path / 'in', 1, height=96, width=128)
    preset = tmp_path / 'my.yaml'
    preset.write_text(f'model: {CROPFORMER}\ncrops: 0\nscore-thr: 0.1')
    options = (scenes, '--preset', preset, '--weights', weights, '--device', 'cpu')
    for crops, given in ((0, ()), (1, ('--crops', 1))):
        out = tmp_path / f'crops_{crops}'
        assert predict_tool(*options, *given, '--out', out) == 0
        expected = inferencer_of(model, crops).predict(scenes / '0.png').select(0.1)
        assert len(expected) > 0
        written = cv2.imread(str(out / 'idmap/0.png'), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(written, expected.entity_map)
    # files of another number of crops are not kept
    message = predict_tool(*options, '--out', out, '--skip-existing')
    assert 'were made with another config_sha256' in message
