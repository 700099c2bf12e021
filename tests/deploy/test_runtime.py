"""Prediction with exported networks: options, wrong uses, and without PyTorch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mmentity.apis import EntityInferencer
from mmentity.apis.models import get_model
from mmentity.cli import main
from mmentity.cli.predictor import PRECISIONS
from mmentity.datasets.errors import SampleError
from mmentity.deploy.export import export_network
from mmentity.deploy.runtime import OnnxGraph
from mmentity.models.precision import DTYPES
from tests.apis.conftest import predict_tool, save_scenes, scene  # noqa: F401  a fixture
from tests.conftest import ROOT

onnx = pytest.importorskip('onnx', reason='pip install "mmentity[onnx-export]"')
onnxruntime = pytest.importorskip('onnxruntime', reason='pip install "mmentity[onnx-export]"')

# all that prediction does without; the command line has some of it
NOT_NEEDED = [
    'torch', 'torchvision', 'mmcv', 'mmengine', 'mmdet', 'mmpretrain', 'mmseg', 'cv2', 'onnx',
    'onnxscript',
]  # fmt: skip
NOT_NEEDED_IN_PYTHON = [
    'scipy', 'pycocotools', 'matplotlib', 'rich', 'requests', 'orjson', 'terminaltables',
]  # fmt: skip


def without(modules, code, *arguments):
    """Run code in a process in which modules cannot be imported."""
    block = (
        'import sys\n'
        'class Block:\n'
        '    def find_spec(self, name, path=None, target=None):\n'
        f'        if name.partition(".")[0] in {modules}:\n'
        '            raise ModuleNotFoundError(f"No module named {name!r}", name=name)\n'
        'sys.meta_path.insert(0, Block())\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', block + code, *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_python_needs_onnxruntime_numpy_and_pillow(tiny, in_onnx, tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / 'image.png')
    done = without(
        NOT_NEEDED + NOT_NEEDED_IN_PYTHON,
        'import numpy as np\n'
        'from mmentity.apis import EntityInferencer\n'
        'inferencer = EntityInferencer(sys.argv[1], device="cpu", show_progress=False)\n'
        'result = inferencer.predict(sys.argv[2]).select(min_area=10)\n'
        'np.save(sys.argv[3], result.entity_map)\n'
        'print(len(result), len(result.polygons()))\n',
        tiny.exported.path, tmp_path / 'image.png', tmp_path / 'ids.npy',
    )  # fmt: skip
    expected = in_onnx.predict(tmp_path / 'image.png').select(min_area=10)
    assert done.stdout.split() == [str(len(expected))] * 2
    assert np.array_equal(np.load(tmp_path / 'ids.npy'), expected.entity_map)


def test_the_command_needs_no_torch_and_no_openmmlab(tiny, in_onnx, tmp_path):
    folder, out = save_scenes(tmp_path / 'in', 2), tmp_path / 'out'
    options = ('--score-thr', 0.1, '--format', 'idmap,rle,npz')
    done = without(
        NOT_NEEDED,
        'from mmentity.cli import main\nsys.exit(main(sys.argv[1:]))\n',
        'predict', folder, '--model', tiny.exported.path, '--device', 'cpu', '--out', out, *options,
    )  # fmt: skip
    assert '2 written, 0 skipped, 0 failed' in done.stdout
    assert 'PyTorch' not in done.stderr
    for k in range(2):
        expected = in_onnx.predict(folder / f'{k}.png').select(0.1, 1)
        ids = np.asarray(Image.open(out / f'idmap/{k}.png'))
        assert np.array_equal(ids, expected.entity_map)
        assert len(json.loads((out / f'rle/{k}.json').read_text())) == len(expected)
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['config'] == 'cropformer_swin-t_3x'
    assert manifest['config_sha256'] == tiny.exported.info.config_sha256
    assert manifest['weights'] == str(tiny.exported.path)
    assert manifest['versions']['onnxruntime'] == onnxruntime.__version__


def test_what_needs_opencv_says_so(tiny, tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / 'image.png')
    done = without(
        ['cv2'],
        'from mmentity.cli import main\n'
        'code = main(sys.argv[1:])\n'
        'assert code == 2, code\n',
        'predict', tmp_path / 'image.png', '--model', tiny.exported.path, '--score-thr', '0',
        '--device', 'cpu',
    )  # fmt: skip
    assert 'need OpenCV' in done.stderr
    assert 'pip install opencv-python-headless' in done.stderr


def test_batches_streams_and_kept_images_are_as_in_pytorch(tiny, in_onnx, tmp_path):
    folder = save_scenes(tmp_path, 3)
    (folder / '1.png').write_text('no image')
    Image.fromarray(scene(9, 64, 32)).save(folder / '3.png')
    results = in_onnx(folder, batch_size=2, on_error='skip', keep_image=True)
    assert [result.name for result in results] == ['0', '2', '3']
    assert '1.png is not a complete image' in in_onnx.failures[0][1]
    for result in results:
        alone = in_onnx.predict(folder / f'{result.name}.png')
        assert np.array_equal(result.entity_map, alone.entity_map)
        assert result.image.shape[:2] == result.entity_map.shape
    with pytest.raises(SampleError, match='cannot be read'):
        in_onnx.backend.read(type(in_onnx.failures[0][0])('none', str(tmp_path / 'none.png')))


def test_a_missing_memory_is_told_from_other_errors(in_onnx, monkeypatch):
    for message, expected in (
        ('std::bad_alloc', 'does not fit into the memory'),
        ('a node', 'cannot be predicted: a node'),
    ):

        def fail(batch, message=message):
            raise RuntimeError(message)

        monkeypatch.setattr(in_onnx.backend, 'predict', fail)
        with pytest.raises(SampleError, match=expected):
            in_onnx.predict(scene(0))


def changed(tiny, path, change):
    proto = onnx.load(tiny.exported.path)
    change(proto)
    path.write_bytes(proto.SerializeToString())
    return path


def test_wrong_files_get_one_line(tiny, tmp_path):
    def other(proto):
        del proto.metadata_props[:]

    def later(proto):
        values = json.loads(proto.metadata_props[0].value)
        proto.metadata_props[0].value = json.dumps({**values, 'format': 99, 'made_by': '9.0'})

    def damaged(proto):
        proto.metadata_props[0].value = '{"format": 1}'

    def larger(proto):
        values = json.loads(proto.metadata_props[0].value)
        proto.metadata_props[0].value = json.dumps({**values, 'height': 192})

    def opset(proto):
        proto.opset_import[0].version = 999

    def ir(proto):
        proto.ir_version = 99

    (tmp_path / 'text.onnx').write_text('no network')
    (tmp_path / 'half.onnx').write_bytes(tiny.exported.path.read_bytes()[:10_000])
    for path, message in (
        (tmp_path / 'none.onnx', 'none.onnx does not exist; mmentity export makes'),
        (tmp_path / 'text.onnx', 'text.onnx is no complete ONNX file'),
        (tmp_path / 'half.onnx', 'half.onnx is no complete ONNX file'),
        (changed(tiny, tmp_path / 'other.onnx', other), 'without the metadata of mmentity'),
        (changed(tiny, tmp_path / 'later.onnx', later), 'mmentity 9.0.*version 99.*update'),
        (changed(tiny, tmp_path / 'damaged.onnx', damaged), 'damaged metadata.*export again'),
        (changed(tiny, tmp_path / 'larger.onnx', larger), 'its metadata say'),
        (changed(tiny, tmp_path / 'opset.onnx', opset), 'version of ONNX.*does not know.*999'),
        (changed(tiny, tmp_path / 'ir.onnx', ir), 'version of ONNX.*does not know.*99'),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
            EntityInferencer(path, device='cpu')
        assert '\n' not in str(caught.value)


def test_wrong_options_of_an_exported_file_are_named(tiny, predict_tool, tmp_path):  # noqa: F811
    path = tiny.exported.path
    for options, message in (
        ({'weights': 'w.pth'}, 'weights: .* is an exported network'),
        ({'precision': 'bf16'}, 'precision: .* is an exported network'),
        ({'compile': True}, 'compile: .* is an exported network'),
        ({'device': 'cuda:0'}, "'cuda:0' cannot be used by this ONNX Runtime.*onnxruntime-gpu"),
        ({'device': 'gpu'}, "'gpu' cannot be used by this ONNX Runtime.*usable: cpu"),
    ):
        with pytest.raises(ValueError, match=message):
            EntityInferencer(path, **options)
    Image.fromarray(scene(0)).save(tmp_path / 'image.png')
    message = predict_tool(
        tmp_path / 'image.png', '--model', path, '--cfg-options', 'model.test_cfg.mask_thr=0.6'
    )
    assert '--cfg-options: ' in message
    with pytest.raises(ValueError, match=r'graph of fixed size and takes \(1, 5, 3, 96, 128\)'):
        OnnxGraph(path, 'cpu')(np.zeros((1, 5, 3, 96, 160), np.float32))
    assert sorted(DTYPES) == sorted(PRECISIONS)


def test_wrong_exports_are_named(tiny, tmp_path, capsys):
    path = tmp_path / 'a.onnx'
    for arguments, message in (
        ((path, 100, 128), 'height is 100; views are padded to multiples of 32 px, such as 128'),
        ((path, 96, 0), 'width is 0'),
        ((tmp_path / 'a.pth',), 'must end in .onnx or .pt2'),
        ((tmp_path / 'a.pt2', 96, 128, True), '--half is for .onnx files'),
        ((path, 96, 128, False, True), 'a graph has one size: .*--dynamic cannot be had'),
    ):
        with pytest.raises(ValueError, match=message):
            export_network(tiny.model, *arguments)
    with pytest.raises(ValueError, match='Linear cannot be exported'):
        export_network(torch.nn.Linear(1, 1), path)
    panoptic = get_model('mask2former_swin-nano_demo_panoptic', device='cpu')
    with pytest.raises(ValueError, match='predicts panoptic; only entities'):
        export_network(panoptic, path)
    resizing = panoptic.cfg.test_dataloader.dataset.pipeline[1]
    panoptic.panoptic_fusion_head.tasks = ['entity']
    resizing['short_side'] = [80, 96]
    with pytest.raises(ValueError, match=r'has ResizeViews\(short_side, long_side\), which an'):
        export_network(panoptic, path)
    capsys.readouterr()
    code = main(['export', 'mask2former_swin-nano_demo', 'none.pth', str(path), '--dynamic'])
    assert code == 2
    assert 'none.pth does not exist' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
