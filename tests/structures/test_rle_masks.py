"""RLE masks in the forms that mmdet, mmengine and pycocotools ask for."""

import json
import pickle

import numpy as np
import pytest
import torch
from mmdet.structures.mask import encode_mask_results, mask2bbox
from mmengine.evaluator.metric import _to_cpu
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

from mmentity.structures import RleMasks


@pytest.fixture
def pixels():
    return np.random.default_rng(0).random((4, 7, 9)) < 0.4


@pytest.fixture
def masks(pixels):
    rles = [mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in pixels]
    return RleMasks(rles, 7, 9)


def test_pixels(masks, pixels):
    assert np.array_equal(masks.numpy(), pixels)
    assert masks.astype(np.uint8).dtype == np.uint8
    assert np.array_equal(masks[1][2:, None], pixels[1][2:, None])
    assert torch.equal(mask2bbox(masks.cpu()), mask2bbox(torch.from_numpy(pixels)))


def test_encodings(masks, pixels):
    assert masks[0]['size'] == [7, 9]
    assert mask_utils.area(masks.rles).tolist() == pixels.sum((1, 2)).tolist()
    assert encode_mask_results(masks) == masks.rles
    masks[0]['counts'] = masks[0]['counts'].decode()
    assert json.loads(json.dumps(masks[0])) == masks[0]


def test_they_travel_as_they_are(masks):
    assert _to_cpu({'masks': masks})['masks'] is masks
    assert pickle.loads(pickle.dumps(masks)) == masks


def test_instances_select_and_join_them(masks, pixels):
    instances = InstanceData(scores=torch.tensor([0.9, 0.1, 0.8, 0.2]), masks=masks)
    chosen = instances[instances.scores > 0.5]
    assert np.array_equal(chosen.masks.numpy(), pixels[[0, 2]])
    assert np.array_equal(instances[1:].masks.numpy(), pixels[1:])
    assert len(InstanceData.cat([chosen, instances]).masks) == 6
    assert instances[instances.scores > 2].masks.numpy().shape == (0, 7, 9)
