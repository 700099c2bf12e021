"""``weights='official'``, ``--weights official``, and the offer where none are given."""

import io
import json
import logging
import sys

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from mmentity.apis import EntityInferencer, get_model
from mmentity.cli import main
from tests.apis.conftest import MODEL, scene
from tests.loopback_hub import FOLDER


@pytest.fixture
def serving(hub, weights):
    """The hub, with weights that fit the nano model."""
    hub.files = {f'{FOLDER}/nano.pth': weights.read_bytes()}
    return hub


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'scene.png'
    Image.fromarray(scene(0)).save(path)
    return path


@pytest.fixture
def logged():
    """What mmengine's logger got."""
    records, logger = [], MMLogger.get_current_instance()
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.fixture
def answer(monkeypatch):
    """Sit at a terminal and type a line."""

    def type_line(line):
        terminal = io.StringIO(f'{line}\n')
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, 'stdin', terminal)

    return type_line


def test_python_fetches_them(serving, inferencer, image):
    expected = inferencer.predict(image).entity_map
    by_name = EntityInferencer(MODEL, 'official', 'cpu')
    np.testing.assert_array_equal(by_name.predict(image).entity_map, expected)
    built = get_model(MODEL, device='cpu')
    of_built = EntityInferencer(built, 'official', 'cpu')
    np.testing.assert_array_equal(of_built.predict(image).entity_map, expected)


def test_a_config_that_the_authors_have_no_weights_for(serving):
    with pytest.raises(ValueError, match='no official weights of .*cropformer_swin-nano_demo'):
        get_model('cropformer_swin-nano_demo', 'official', 'cpu')


def predict(predict_tool, image, *options):
    return predict_tool(
        image, '--model', MODEL, '--device', 'cpu', '--out', image.parent / 'out', *options
    )


@pytest.mark.parametrize('option', [('--weights', 'official'), ('--yes',)])
def test_predict_fetches_them_unasked(serving, predict_tool, image, option, logged):
    assert predict(predict_tool, image, *option) == 0
    assert (image.parent / 'out' / 'idmap' / 'scene.png').is_file()
    said = [record.getMessage() for record in logged]
    assert any('CC BY-NC 4.0, non-commercial use only' in message for message in said)


def test_predict_asks_once(serving, predict_tool, image, answer):
    answer('y')
    assert predict(predict_tool, image) == 0
    answer('')  # they are here now, so nothing is asked
    assert predict(predict_tool, image, '--skip-existing') == 0


@pytest.mark.parametrize('line', ['', 'n', None])
def test_without_consent_nothing_is_fetched(serving, predict_tool, image, answer, line, capsys):
    if line is not None:
        answer(line)
    message = predict(predict_tool, image)
    assert message.endswith(
        'give --weights FILE, or --weights official for those of the authors '
        '(CC BY-NC 4.0, non-commercial use only)'
    )
    assert not serving.requests


def test_a_model_of_ones_own_needs_its_weights(predict_tool, image):
    message = predict(predict_tool, image, '--model', 'cropformer_r50_3x')
    assert 'give the --weights of' in message


def test_mmentity_test_fetches_them(serving, demo_root, tmp_path):
    settings = (f'test_dataloader.dataset.data_root={demo_root}', 'test_dataloader.num_workers=0',
                'test_dataloader.persistent_workers=False')  # fmt: skip
    code = main(
        ['test', MODEL, 'official', '--work-dir', str(tmp_path), '--cfg-options', *settings]
    )
    assert code == 0
    checkpoint = json.loads(next(tmp_path.rglob('metrics.json')).read_text())['checkpoint']
    assert checkpoint.endswith(f'{FOLDER}/nano.pth')
