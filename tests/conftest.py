"""Fixtures that all tests share."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import mmentity  # noqa: F401  lets mmdet import without the compiled ops of mmcv
from tests.loopback_hub import go_offline, hub  # noqa: F401
from tests.pretend_device import PRETEND, PretendCuda

ROOT = Path(__file__).parents[1]
# how code starts that imports mmdet in another process: without compiled ops mmentity comes first
IMPORT_FIRST = '' if importlib.util.find_spec('mmcv._ext').origin else 'import mmentity\n'
REFERENCE = Path(__file__).parent / 'reference'


def require_compiled_ops():
    """Skip a test of what box detectors of mmdet call where mmcv cannot run it."""
    if IMPORT_FIRST:
        pytest.skip('box detectors of mmdet call nms and roi_align, which this mmcv does not have')


def pytest_addoption(parser):
    parser.addoption(
        '--device',
        default='cpu',
        help='where tests that take a device run: cpu, cuda, or pretend, which checks what CUDA '
        'would refuse without a GPU; with another than cpu only these tests run',
    )


def pytest_configure(config):
    name = config.getoption('--device')
    try:
        torch.zeros(1, device='cpu' if name == 'pretend' else name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        message = f'--device {name}: PyTorch has no such device here: {reason}'
        raise pytest.UsageError(message) from None


def pytest_collection_modifyitems(config, items):
    """With a device, leave out the tests that have nothing to do with it."""
    if config.getoption('--device') == 'cpu':
        return
    chosen = [item for item in items if 'device' in getattr(item, 'fixturenames', ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture(scope='session')
def device(request):
    """Where a test computes; see ``pytest --device``."""
    name = request.config.getoption('--device')
    if name != 'pretend':
        yield torch.device(name)
        return
    with PretendCuda():
        yield PRETEND


class Reference:
    """Numbers of the official implementation, and the recipe of their inputs."""

    def __init__(self, folder):
        self.folder = folder
        spec = importlib.util.spec_from_file_location('reference_recipe', folder / 'recipe.py')
        self.recipe = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.recipe)

    def load(self, name):
        """Return json and arrays of one fixture."""
        info = json.loads((self.folder / f'{name}.json').read_text())
        return info, np.load(self.folder / f'{name}.npz')

    def weights(self, info):
        """Official weights of a fixture, checked against its crc32 values."""
        state_dict = {
            entry['name']: torch.from_numpy(self.recipe.fill(entry['name'], entry['shape']))
            for entry in info['state_dict']
            if entry['filled']
        }
        for name, crc in info['fill_crc32'].items():
            assert self.recipe.digest(state_dict[name].numpy()) == crc, name
        return state_dict


@pytest.fixture(scope='session')
def reference():
    return Reference(REFERENCE)


@pytest.fixture(scope='session')
def demo_root(tmp_path_factory):
    """A small copy of the demo data: 6 + 3 images of 96 x 128."""
    from mmentity.preparation.synthetic import DemoOptions, make_demo_data

    root = tmp_path_factory.mktemp('demo') / 'entityseg_demo'
    return make_demo_data(root, DemoOptions(6, 3, 96, 128, (4, 6)))
