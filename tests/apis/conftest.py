"""A confident random model, hand-made results, and the command line as users call it."""

import contextlib
import io
import shutil
import sys

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from PIL import Image

from mmentity.apis import EntityInferencer, EntityResult
from mmentity.apis.lazy_map import LazyEntityMap
from mmentity.apis.per_entity import EntityFeatures
from mmentity.cli import main
from mmentity.structures import EntityMap
from mmentity.utils.shipped_configs import get_config

MODEL = 'mask2former_swin-nano_demo'
# one that sees crops
CROPS = 'cropformer_swin-nano_demo'


@pytest.fixture(scope='session')
def weights(tmp_path_factory):
    """Random weights whose classes are certain and whose masks differ."""
    return save_weights(MODEL, tmp_path_factory.mktemp('weights') / 'random.pth')


@pytest.fixture(scope='session')
def crop_weights(tmp_path_factory):
    """The same of a model that sees crops."""
    return save_weights(CROPS, tmp_path_factory.mktemp('weights') / 'crops.pth')


def save_weights(config, path):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(get_config(config).model)
    with torch.no_grad():
        model.panoptic_head.cls_embed.bias.copy_(torch.tensor([4.0, -4.0]))
        model.panoptic_head.mask_embed[-1].weight.mul_(20)
    torch.save({'state_dict': model.state_dict()}, path)
    return path


@pytest.fixture(scope='session')
def inferencer(weights):
    return EntityInferencer(MODEL, weights, 'cpu', show_progress=False)


@pytest.fixture(scope='session')
def with_features(weights):
    return EntityInferencer(MODEL, weights, 'cpu', show_progress=False, features=True)


@pytest.fixture(scope='module')
def browser():
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    names = ('chromium', 'chromium-browser', 'google-chrome')
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip('no Chromium is installed; on Debian: apt-get install chromium')
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield running
        running.close()


@pytest.fixture(scope='session')
def predict_tool():
    """``mmentity predict``, run in this process; returns its exit code, or its error message."""

    def run(*arguments):
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr):
            try:
                code = main(['predict', *map(str, arguments)])
            except SystemExit as stopped:  # of the parser
                return stopped.code
        sys.stderr.write(stderr.getvalue())
        return stderr.getvalue().rstrip('\n').splitlines()[-1] if code == 2 else code

    return run


def scene(seed, height=48, width=64):
    """An image of coloured squares, uint8 RGB."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return squares.repeat(8, axis=0).repeat(8, axis=1)


def save_scenes(folder, number, suffix='.png', **size):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(number):
        Image.fromarray(scene(k, **size)).save(folder / f'{k}{suffix}')
    return folder


def contents(out):
    """Bytes of every result by name; manifests hold times and are dropped."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob('*')
        if path.is_file() and not path.name.startswith('manifest')
    }


def make_result(ids, scores, name='0', classes=('entity',), **more):
    """A result of a hand-drawn map; scores descend, classes come in turn."""
    entities = EntityMap(np.asarray(ids, dtype=np.int32), len(scores))
    return EntityResult(
        name,
        LazyEntityMap(entities),
        np.asarray(scores, dtype=np.float32),
        np.arange(len(scores)) % len(classes),
        entities.boxes_xyxy_px,
        entities.areas,
        classes=classes,
        **more,
    )


def stripes(widths, height=20):
    """A map of vertical stripes, entity k as wide as the k-th number."""
    row = np.repeat(np.arange(1, len(widths) + 1), widths)
    return np.tile(row, (height, 1))


COLOURS = {'red': (250, 0, 0), 'green': (0, 250, 0), 'blue': (0, 0, 250)}


class ColourEncoder:
    """Encode images by the mean colour of their middle, and texts by the colours they name."""

    name, size, logit_scale = 'colours', 8, 20.0

    def __init__(self):
        self.texts, self.batches = [], []

    def encode_images(self, crops):
        assert (crops.dtype, crops.shape[1:]) == (np.uint8, (8, 8, 3))
        self.batches.append(len(crops))
        return crops[:, 3:5, 3:5].mean(axis=(1, 2)).astype(np.float32)

    def encode_texts(self, texts):
        self.texts += texts
        return np.float32(
            [next((c for name, c in COLOURS.items() if name in t), (1, 1, 1)) for t in texts]
        )


def result_with_features(**more):
    """Five stripes, of which row k has the features k, k + 0.5, ..."""
    rows = np.arange(5, dtype=np.float32)[:, None]
    features = EntityFeatures(rows + np.float32([0, 0.5, 0.75]), -rows - np.float32([0, 0.5]))
    widths = [10, 40, 20, 5, 25]
    return make_result(stripes(widths), [0.9, 0.8, 0.7, 0.6, 0.2], features=features, **more)
