"""Compiling for prediction."""

import pytest
import torch

from mmentity.apis import EntityInferencer, compiled
from mmentity.cli import main
from mmentity.utils.shipped_configs import get_config
from tests.apis.conftest import MODEL, save_scenes, scene
from tests.apis.test_inferencer import same


@pytest.fixture
def graphs(monkeypatch):
    """Graphs that are compiled; they run as they are, so no compiler is needed."""
    found = []

    def keep(graph, inputs):
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(compiled, 'BACKEND', keep)
    torch._dynamo.reset()
    yield found
    torch._dynamo.reset()


def test_a_compiled_network_predicts_the_same(weights, inferencer, graphs):
    ours = EntityInferencer(MODEL, weights, 'cpu', show_progress=False, compile=True)
    assert list(ours.model.state_dict()) == list(inferencer.model.state_dict())
    assert graphs == []
    assert same(ours.predict(scene(0)), inferencer.predict(scene(0)))
    assert graphs != []
    operations = {str(node.target) for graph in graphs for node in graph.graph.nodes}
    # PyTorch 2.1 leaves the layers of the decoder as they are
    if torch.__version__ >= (2, 2):
        assert any('scaled_dot_product_attention' in name for name in operations)


def test_the_progress_line_tells_of_the_compiler(inferencer, weights, graphs):
    ours = EntityInferencer(MODEL, weights, 'cpu', compile=True)
    assert 'compiler' in ours.progress_label
    assert inferencer.progress_label == 'images'


def test_a_missing_compiler_is_said(weights, tmp_path, monkeypatch, capsys):
    folder = save_scenes(tmp_path / 'in', 1)
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    command = ['predict', folder, '--out', tmp_path / 'out', '--model', MODEL, '--weights', weights]
    assert main([*map(str, command), '--compile', '--device', 'cpu']) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'needs a C++ compiler, and there is no g++, clang++, c++, cl; install one' in message
    monkeypatch.setenv('CXX', 'my-compiler')
    with pytest.raises(ValueError, match='there is no my-compiler'):
        compiled.check_compiler('cpu')


def test_triton_is_needed_on_a_gpu(monkeypatch):
    monkeypatch.setattr(compiled.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='needs Triton on a GPU'):
        compiled.check_compiler('cuda')


@pytest.mark.slow
def test_the_real_compiler(tmp_path):
    """With PyTorch's own compiler, where one for C++ is installed."""
    try:
        compiled.check_compiler('cpu')
    except ValueError as error:
        pytest.skip(str(error))
    config = get_config(MODEL)
    # what is left has every kind of layer
    config.model.backbone.arch.depths = [1, 1, 1, 1]
    config.model.panoptic_head.transformer_decoder.num_layers = 1
    torch.manual_seed(0)
    plain = EntityInferencer(config, device='cpu', show_progress=False)
    path = tmp_path / 'few_layers.pth'
    torch.save({'state_dict': plain.model.state_dict()}, path)
    ours = EntityInferencer(config, path, 'cpu', show_progress=False, compile=True)
    assert same(ours.predict(scene(0)), plain.predict(scene(0)))
