"""Exported networks compute what PyTorch does."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.models.backbones.hornet import GlobalLocalFilter

from mmentity.apis import EntityInferencer
from mmentity.apis.models import get_model
from mmentity.cli import main
from mmentity.deploy.check import compare
from mmentity.deploy.export import OPSET, Exported, Network, export_network
from mmentity.deploy.graph_info import KEY, GraphInfo
from mmentity.deploy.half import halve_weights
from mmentity.deploy.runtime import OnnxGraph
from mmentity.deploy.views import make_views
from mmentity.models.layers.global_filter import MatrixGlobalFilter, use_matrix_filters
from mmentity.utils.shipped_configs import find_config
from tests.apis.conftest import MODEL, scene
from tests.models.test_parity import largest, uncertain_pixels

onnx = pytest.importorskip('onnx', reason='pip install "mmentity[onnx-export]"')


def test_logits_are_those_of_pytorch_and_of_the_official_code(tiny):
    graph = OnnxGraph(tiny.exported.path, 'cpu')
    views = make_views(tiny.image, graph.info).views
    cls_logits, mask_logits = graph(views)
    with torch.no_grad():
        expected = Network(tiny.model)(torch.from_numpy(views))
    assert largest(cls_logits[None], expected[0].numpy()) < 1e-4
    assert largest(mask_logits[None], expected[1].numpy()) < 1e-3
    assert largest(cls_logits[None], tiny.arrays['pred_logits_3d']) < 1e-4
    assert largest(mask_logits[None], tiny.arrays['pred_masks_3d']) < 1e-3


def test_id_maps_are_those_of_pytorch_and_of_the_official_code(tiny, in_onnx, in_pytorch):
    result, expected = in_onnx.predict(tiny.image), in_pytorch.predict(tiny.image)
    certain = ~uncertain_pixels(tiny.arrays, result.width)
    assert certain.mean() > 0.9
    assert np.array_equal(result.entity_map[certain], expected.entity_map[certain])
    assert np.abs(result.scores - expected.scores).max() < 1e-4
    assert np.array_equal(result.labels, expected.labels)
    assert np.array_equal(result.boxes_xyxy_px, expected.boxes_xyxy_px)
    # the official map counts by class score
    official = tiny.arrays['result_id_map']
    pairs = set(zip(result.entity_map[certain].tolist(), official[certain].tolist()))
    assert len(pairs) == len(result) + 1 == len({ours for ours, _ in pairs})


def test_a_graph_says_what_surrounds_it(tiny):
    proto = onnx.load(tiny.exported.path)
    onnx.checker.check_model(proto)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [('', OPSET)]
    (entry,) = proto.metadata_props
    assert entry.key == KEY
    info = GraphInfo.from_json(entry.value, 'it')
    assert info == tiny.exported.info == OnnxGraph(tiny.exported.path, 'cpu').info
    assert (info.config, info.model) == ('cropformer_swin-t_3x', 'CropFormer')
    assert (info.num_views, info.crop_ratio, info.size) == (5, 0.7, (96, 128))
    assert info.mean == pytest.approx((123.675, 116.28, 103.53))
    assert info.classes == ('entity',)
    # nothing of a network is written down view by view
    assert sum(node.op_type == 'GridSample' for node in proto.graph.node) == 2 * 3
    assert not {node.op_type for node in proto.graph.node} & {'DFT', 'Loop', 'If'}


def test_half_stores_weights_and_no_positions(tiny, tmp_path):
    proto = onnx.load(tiny.exported.path)
    before = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    halve_weights(proto, tiny.model)
    after = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    halves = [name for name, values in after.items() if values.dtype == np.float16]
    assert len(halves) > 80
    weights = [p for n, p in tiny.model.named_parameters() if 'sampling_offsets.weight' in n]
    for weight in weights:
        placing = [v for v in after.values() if v.shape == weight.T.shape and v.dtype == np.float32]
        assert any(np.array_equal(values, weight.detach().numpy().T) for values in placing)
    for name in halves:
        assert np.abs(before[name.removesuffix('.half')] - after[name]).max() < 1e-3
    info = GraphInfo(**{**vars(tiny.exported.info), 'half': True})
    proto.metadata_props[0].value = info.to_json()
    path = tmp_path / 'half.onnx'
    onnx.save(proto, path)
    assert path.stat().st_size < 0.7 * tiny.exported.num_bytes
    difference = compare(tiny.model, Exported(path, 0, info))
    assert difference.is_small
    # it is rounded, so it is not equal
    assert difference.mask_median > 1e-5
    assert not difference._replace(limit=1e-6).is_small
    proto = onnx.load(tiny.exported.path)
    for tensor in proto.graph.initializer:
        if tensor.name == halves[0].removesuffix('.half'):
            tensor.CopyFrom(onnx.numpy_helper.from_array(before[tensor.name] * 1e9, tensor.name))
    with pytest.raises(ValueError, match='float16 does not hold; export without --half'):
        halve_weights(proto, tiny.model)


def test_a_pt2_file_is_the_same_network(tiny, tmp_path):
    exported = export_network(tiny.model, tmp_path / 'tiny.pt2', 96, 128)
    extra = {KEY: ''}
    torch.export.load(str(exported.path), extra_files=extra)
    assert json.loads(extra[KEY]) == json.loads(tiny.exported.info.to_json())
    difference = compare(tiny.model, exported)
    assert difference.mask_largest < 1e-3
    assert difference.class_largest < 1e-4


@pytest.mark.parametrize('size', [(6, 8), (5, 7), (9, 4)])
def test_a_global_filter_needs_no_complex_numbers(size, monkeypatch):
    torch.manual_seed(0)
    plain = GlobalLocalFilter(8, h=6, w=5).eval()
    ours = MatrixGlobalFilter(plain)
    assert list(ours.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 8, *size)
    expected = plain(x)
    assert torch.equal(ours(x), expected)
    monkeypatch.setattr('mmentity.models.layers.global_filter.is_exported', lambda: True)
    written = ours(x)
    assert not torch.equal(written, expected)
    assert largest(written, expected.detach().numpy()) < 1e-5


def test_only_global_filters_of_mmpretrain_are_replaced():
    class Other(GlobalLocalFilter):
        pass

    layers = torch.nn.ModuleDict({'a': GlobalLocalFilter(8), 'b': Other(8), 'c': torch.nn.ReLU()})
    use_matrix_filters(layers)
    assert [type(layer) for layer in layers.values()] == [MatrixGlobalFilter, Other, torch.nn.ReLU]


@pytest.fixture(scope='module')
def hornet(tmp_path_factory):
    """Config and weights of a small Mask2Former with a HorNet that has global filters."""
    folder = tmp_path_factory.mktemp('hornet')
    config = Config.fromfile(find_config(MODEL))
    config.model.backbone = {
        'type': 'mmpretrain.HorNet',
        'arch': {
            'base_dim': 16,
            'depths': [1, 1, 1, 1],
            'orders': [2, 2, 2, 3],
            'dw_cfg': [{'type': 'DW', 'kernel_size': 7}] * 2 + [{'type': 'GF', 'h': 6, 'w': 5}] * 2,
        },
        'out_indices': (0, 1, 2, 3),
        'gap_before_final_norm': False,
    }
    config.model.panoptic_head.in_channels = [16, 32, 64, 128]
    config.dump(folder / 'hornet.py')
    torch.manual_seed(0)
    model = get_model(config, device='cpu')
    with torch.no_grad():
        model.panoptic_head.cls_embed.bias.copy_(torch.tensor([4.0, -4.0]))
        model.panoptic_head.mask_embed[-1].weight.mul_(20)
    torch.save({'state_dict': model.state_dict()}, folder / 'hornet.pth')
    return folder


def test_the_command_exports_a_mask2former_of_hornet_and_predicts(hornet, tmp_path):
    config, weights, file = hornet / 'hornet.py', hornet / 'hornet.pth', tmp_path / 'hornet.onnx'
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        # the size to which it pads 48 x 64 px by itself
        code = main(
            ['export', str(config), str(weights), str(file), '--height', '96', '--width', '128']
        )
    assert code == 0, err.getvalue()
    first, second = out.getvalue().splitlines()
    assert first.endswith('EntityMask2Former of hornet, 1 x 96 x 128 px')
    assert second.startswith('equal: class logits differ by')
    assert not {node.op_type for node in onnx.load(file).graph.node} & {'DFT', 'Loop', 'If'}
    ours = EntityInferencer(file, device='cpu', show_progress=False)
    theirs = EntityInferencer(str(config), weights, 'cpu', show_progress=False)
    for seed in range(3):
        image = scene(seed)[..., ::-1]
        result, expected = ours.predict(image), theirs.predict(image)
        assert len(expected) > 1
        assert (result.entity_map == expected.entity_map).mean() > 0.999
        assert np.allclose(result.scores, expected.scores, atol=1e-4)
