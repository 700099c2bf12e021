"""What goes wrong first for a user of mmdet ends in one message that says what to do.

The numbers are those of the table of uses.
"""

import io
import json
import logging
from contextlib import redirect_stderr
from pathlib import Path

import pytest
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger

from mmentity.cli import main
from mmentity.visualization.curves import read_scalars
from tests.uses.nano import Nano, mmentity, named, refusal

VAL = 'annotations/entity_segmentation/entityv2_010203_entity_val.json'
SHORT = (
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=10',
    'param_scheduler.0.total_steps=4',
    'param_scheduler.0.end=4',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.logger.interval=1',
)


@pytest.fixture(scope='module')
def nano(demo_root, tmp_path_factory):
    return Nano('entity', demo_root, tmp_path_factory.mktemp('entity'))


def test_30_mmdet_pipeline_names_the_packing_step(nano):
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(nano.config)
    dataset = config.test_dataloader.dataset
    pipeline = Compose(
        [
            {'type': 'LoadImageFromFile'},
            {'type': 'mmdet.Resize', 'scale': (96, 64)},
            {'type': 'mmdet.PackDetInputs', 'meta_keys': ('img_path',)},
        ]
    )
    path = next(Path(dataset.data_root).rglob('*.jpg'))
    batch = pseudo_collate([pipeline({'img_path': str(path)})])
    with pytest.raises(ValueError, match='pack them with PackEntityInputs'):
        nano.build().test_step(batch)


def test_30_packing_without_views_names_the_step_that_is_missing(nano):
    pipeline = Compose([{'type': 'mmentity.PackEntityInputs'}])
    with pytest.raises(ValueError, match=r'got a\.jpg without views; put mmentity\.ResizeViews'):
        pipeline({'img_path': 'a.jpg', 'img': None, 'ori_shape': (4, 4)})


def test_31_the_data_preprocessor_of_mmdet_is_refused_at_build(nano):
    register_all_modules(init_default_scope=True)
    model = Config.fromfile(nano.config).model
    model.data_preprocessor = {'type': 'mmdet.DetDataPreprocessor'}
    with pytest.raises(ValueError, match=r"DetDataPreprocessor.*'mmentity\.MultiViewDataPrepro"):
        MODELS.build(model)


@pytest.mark.parametrize('command', ['train', 'test', 'flops'])
def test_33_wrong_in_channels(nano, tmp_path, command):
    wrong = 'model.panoptic_head.in_channels=[96,192,384,768]'
    if command == 'flops':
        config = Config.fromfile(nano.config)
        config.merge_from_dict({'model.panoptic_head.in_channels': [96, 192, 384, 768]})
        config.dump(tmp_path / 'wrong.py')
        message = refusal('flops', tmp_path / 'wrong.py', '--shape', 32, 32, '--views', 2)
    else:
        weights = [nano.weights] if command == 'test' else []
        message = refusal(
            command, nano.config, *weights, '--work-dir', tmp_path, '--cfg-options', wrong, *SHORT
        )
    if command == 'test':
        # the weights are compared with the model before the first image is
        assert 'panoptic_head' in message
    else:
        assert 'feature maps of [24, 48, 96, 192] channels' in message
        assert 'model.panoptic_head.in_channels=[24, 48, 96, 192]' in message


@pytest.fixture
def broken(demo_root, tmp_path):
    """Annotation file whose second image does not exist."""
    content = json.loads((demo_root / VAL).read_text())
    content['images'][1]['file_name'] = 'lost.jpg'
    (tmp_path / 'broken.json').write_text(json.dumps(content))
    return tmp_path / 'broken.json'


@pytest.mark.parametrize('workers', [0, 1])
def test_a_bad_sample_in_a_test_is_one_message(nano, broken, tmp_path, workers):
    message = refusal(
        'test', nano.config, nano.weights, '--work-dir', tmp_path, '--cfg-options',
        f'test_dataloader.dataset.ann_file={broken}', f'test_dataloader.num_workers={workers}',
    )  # fmt: skip
    assert message.startswith('mmentity test: ')
    assert 'lost.jpg cannot be read' in message
    assert 'Caught' not in message


def test_a_bad_sample_does_not_stop_a_look_at_the_data(nano, broken, tmp_path):
    err = io.StringIO()
    with redirect_stderr(err):
        options = ('--split', 'test', '--out-dir', str(tmp_path / 'out'), '--cfg-options')
        code = main(['browse', nano.config, *options, f'test_dataloader.dataset.ann_file={broken}'])
    assert code == 1
    assert 'lost.jpg' in err.getvalue()
    assert 'Traceback' not in err.getvalue()


@pytest.mark.parametrize('command', ['train', 'test', 'stats', 'browse', 'flops'])
def test_unknown_types_are_one_message(nano, tmp_path, command):
    config = Config.fromfile(nano.config)
    for split in ('train', 'test'):
        config[f'{split}_dataloader'].dataset.type = 'mmentity.EntitySegDatset'
    config.model.type = 'mmentity.CropFormr'
    config.dump(tmp_path / 'wrong.py')
    more = {'test': [nano.weights], 'train': [], 'stats': [], 'browse': [], 'flops': []}[command]
    message = refusal(command, tmp_path / 'wrong.py', *more)
    wrong = 'EntitySegDatset' if command in ('stats', 'browse') else 'CropFormr'
    assert f'{wrong} is not in the ' in message


def test_a_config_that_is_not_python_is_one_message(tmp_path):
    (tmp_path / 'wrong.py').write_text('model = dict(')
    message = refusal('train', tmp_path / 'wrong.py')
    assert 'wrong.py' in message


def test_22_analyze_results_of_another_file_is_one_message(nano, tmp_path):
    assert 'No such file' in refusal('analyze-results', nano.config, 'none.pkl', tmp_path)
    (tmp_path / 'text.pkl').write_text('no pickle')
    message = refusal('analyze-results', nano.config, tmp_path / 'text.pkl', tmp_path)
    assert 'text.pkl cannot be read' in message


@pytest.mark.parametrize('kind', ['truncated', 'missing', 'wrong'])
def test_44_unusable_checkpoints(nano, demo_root, tmp_path, kind):
    path = tmp_path / f'{kind}.pth'
    if kind == 'truncated':
        path.write_bytes(Path(nano.weights).read_bytes()[:-2000])
    elif kind == 'wrong':
        torch.save({'state_dict': {'conv.weight': torch.zeros(1)}}, path)
    message = refusal('test', nano.config, path, '--work-dir', tmp_path)
    assert path.name in message


def test_43_a_killed_save_leaves_a_partial_file_and_the_next_start_resumes(nano, tmp_path):
    train = ('train', nano.config, '--work-dir', tmp_path)
    mmentity(*train, *named(tmp_path.name), *SHORT)
    # killed while it wrote iteration 2, before last_checkpoint named it
    last = tmp_path / 'iter_2.pth'
    last.write_bytes(last.read_bytes()[:-2000])
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_1.pth'))
    mmentity(*train, '--resume', *named(f'{tmp_path.name}_again'), *SHORT)
    checkpoint = torch.load(last, weights_only=False)
    assert checkpoint['meta']['iter'] == 2
    steps = [row['step'] for row in read_scalars(tmp_path) if 'loss' in row]
    assert steps == [1, 2, 2]


def test_damaged_lines_of_scalars_are_one_warning(tmp_path):
    folder = tmp_path / 'run' / 'vis_data'
    folder.mkdir(parents=True)
    path = folder / 'scalars.json'
    lines = ['{"loss": 1.0, "step": 1}', '{"loss": 2.0, "st', '\0\0', '{"loss": 3, "step": 3}']
    path.write_text('\n'.join(lines))
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record)
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        rows = read_scalars(tmp_path)
    finally:
        logger.removeHandler(handler)
    assert [row['step'] for row in rows] == [1, 3]
    (record,) = records
    assert record.levelno == logging.WARNING
    assert f'{path} has 2 damaged lines, the first is line 2' in record.getMessage()
