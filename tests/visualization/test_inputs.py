import shutil
import subprocess
import sys

import numpy as np
import pytest
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from PIL import Image

from mmentity.structures.palette import entity_colours
from mmentity.visualization.inputs import draw_inputs
from tests.conftest import ROOT

CONFIG = str(ROOT / 'configs/demo/cropformer_swin-nano_demo.py')


@pytest.fixture(scope='module')
def parts(demo_root):
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(CONFIG)
    datasets = {}
    for split in ('train', 'val'):
        options = config[f'{split}_dataloader'].dataset
        options.data_root = str(demo_root)
        datasets[split] = DATASETS.build(options)
    return datasets, MODELS.build(config.model.data_preprocessor)


def padded(sizes):
    """Size of the input: the largest view, rounded up to a multiple of 32."""
    return tuple(-(-max(size[axis] for size in sizes) // 32) * 32 for axis in (0, 1))


def panel(sheet, row, column, size):
    """Cut one panel out of a sheet; each row has a bar of titles above."""
    height, width = size
    bar = max(16, height // 20)
    top = row * (height + bar) + bar
    return sheet[top : top + height, column * width : (column + 1) * width]


def test_training_sheet_shows_views_and_their_targets(parts):
    datasets, preprocessor = parts
    np.random.seed(1)
    packed = datasets['train'].prepare_data(0)
    views, sample = packed['inputs'], packed['data_samples']
    sizes, maps = sample.view_shapes, [ids[0].numpy() for ids in sample.gt_view_maps]
    sheet = draw_inputs(packed, preprocessor, training=True)
    size = padded(sizes)
    assert sheet.shape[1] == 2 * size[1]
    height, width = sizes[1]
    wanted = views[1].flip(0).permute(1, 2, 0).numpy()[:height, :width]
    shown = panel(sheet, 0, 1, size)
    assert np.array_equal(shown[:height, :width], wanted)
    # padding is 0 after normalisation, which is the mean colour
    assert np.abs(shown[height:].astype(float) - [124, 116, 104]).max(initial=0) <= 1
    targets = panel(sheet, 1, 1, size)[:height, :width]
    colours = entity_colours(int(maps[1].max()))
    for k in np.unique(maps[1])[1:]:
        inside = maps[1] == k
        mixed = 0.45 * wanted[inside].astype(float) + 0.55 * colours[k]
        outline = (targets[inside] == 255).all(axis=1)
        assert np.abs(targets[inside] - mixed)[~outline].max(initial=0) <= 1


def test_test_sheet_shows_all_views_and_the_ground_truth(parts):
    datasets, preprocessor = parts
    packed = datasets['val'].prepare_data(0)
    sheet = draw_inputs(packed, preprocessor, training=False)
    height, width = padded(packed['data_samples'].view_shapes)
    assert sheet.shape[1] == 5 * width
    assert not (panel(sheet, 1, 0, (height, width)) == 255).all()
    assert (panel(sheet, 1, 1, (height, width)) == 255).all()


def test_a_sample_of_another_package_is_refused(parts):
    with pytest.raises(ValueError, match='have no views; browse draws what mmentity.PackEntity'):
        draw_inputs({'inputs': 0, 'data_samples': None}, parts[1], training=True)


def run(*arguments):
    tool = ROOT / 'tools/analysis_tools/browse_dataset.py'
    line = [sys.executable, str(tool), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True)


def test_the_command_line(demo_root, tmp_path):
    root = shutil.copytree(demo_root, tmp_path / 'demo')
    next((root / 'images').rglob('demo_train_00000.jpg')).unlink()
    options = ['--cfg-options', f'train_dataloader.dataset.data_root={root}']
    done = run(CONFIG, '--out-dir', tmp_path / 'out', '--number', 2, *options)
    # the sound sample is drawn, the other one is named
    assert done.returncode == 1
    assert 'demo_train_00000.jpg' in done.stderr
    images = list((tmp_path / 'out').iterdir())
    assert len(images) == 1
    assert Image.open(images[0]).size[0] > 200
    done = run('nothing.py')
    assert done.returncode == 2
    assert "there is no config 'nothing.py'" in done.stderr.strip().splitlines()[-1]
