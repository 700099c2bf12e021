"""The small CropFormer of the reference fixtures as a file, and beside it in PyTorch."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmentity.apis import EntityInferencer
from mmentity.deploy.export import Exported, export_network
from tests.conftest import ROOT
from tests.models.parity import build_with_weights, tiny_options

HEIGHT, WIDTH = 96, 128


class Tiny(NamedTuple):
    """A network as a file and in PyTorch, and an image that it was tried on."""

    exported: Exported
    model: Any
    image: np.ndarray
    arrays: Any


@pytest.fixture(scope='session', autouse=True)
def exporter():
    """Skip where networks cannot be exported."""
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(
            name, reason=f'{name} is not installed; pip install "mmentity[onnx-export]"'
        )
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 7):
        pytest.skip('this PyTorch exports no networks')


@pytest.fixture(scope='session')
def tiny(reference, tmp_path_factory):
    info, arrays = reference.load('cropformer_swin_tinycfg')
    model = build_with_weights(
        reference, info, '_base_/models/cropformer_swin-t.py', tiny_options()
    )
    model.cfg = Config.fromfile(ROOT / 'configs/cropformer_swin-t_3x.py')
    model.cfg.merge_from_dict(tiny_options())
    for step in model.cfg.test_dataloader.dataset.pipeline:
        if step.type == 'mmentity.ResizeViews':
            step.short_side = HEIGHT
    path = tmp_path_factory.mktemp('exported') / 'tiny.onnx'
    image = reference.recipe.image(*(info['image'][k] for k in ('height', 'width', 'seed')))
    exported = export_network(model, path, HEIGHT, WIDTH)
    return Tiny(exported, model, np.ascontiguousarray(image[..., ::-1]), arrays)


@pytest.fixture(scope='session')
def in_pytorch(tiny):
    return EntityInferencer(tiny.model, device='cpu', show_progress=False)


@pytest.fixture(scope='session')
def in_onnx(tiny):
    return EntityInferencer(tiny.exported.path, device='cpu', show_progress=False)
