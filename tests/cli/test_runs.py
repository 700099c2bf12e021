import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

from mmentity.cli.runs import use_boundary_metrics, use_mixed_precision, write_metrics
from mmentity.registry import METRICS
from mmentity.utils.shipped_configs import get_config


def test_metrics_of_any_evaluator_are_written(tmp_path):
    runner = SimpleNamespace(
        cfg=SimpleNamespace(filename='a.py'), work_dir=str(tmp_path), logger=logging.getLogger()
    )
    metrics = {'mIoU': np.float32(50.5), 'entity/APe_l': float('nan'), 'coco/segm_mAP': 3}
    write_metrics(runner, metrics, 'best.pth')
    record = json.loads((tmp_path / 'metrics.json').read_text())
    assert record['metrics'] == {'mIoU': 50.5, 'entity/APe_l': None, 'coco/segm_mAP': 3}
    assert (record['config'], record['checkpoint']) == ('a.py', 'best.pth')
    assert record['versions']['mmentity']


@pytest.mark.parametrize(
    ('on_gpu', 'dtype', 'expected'),
    [
        (True, None, {'type': 'AmpOptimWrapper', 'loss_scale': 'dynamic', 'dtype': 'float16'}),
        (True, 'bfloat16', {'type': 'mmentity.BFloat16OptimWrapper'}),
        (False, None, {'type': 'mmentity.BFloat16OptimWrapper'}),
    ],
)
def test_mixed_precision_of_each_device(on_gpu, dtype, expected, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: on_gpu)
    config = Config({'optim_wrapper': {'type': 'OptimWrapper'}})
    use_mixed_precision(config, dtype)
    assert config.optim_wrapper == expected


def test_float16_needs_a_gpu(monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(ValueError, match='float16 needs a GPU; use --amp bfloat16'):
        use_mixed_precision(Config({'optim_wrapper': {}}), 'float16')


@pytest.mark.parametrize('several', [False, True])
def test_boundary_metrics_of_the_entity_metric(several):
    config = get_config('cropformer_swin-t_3x')
    if several:
        config.test_evaluator = [dict(type='mmseg.IoUMetric'), config.test_evaluator]
    use_boundary_metrics(config)
    evaluator = config.test_evaluator[1] if several else config.test_evaluator
    assert METRICS.build(evaluator).boundary


@pytest.mark.parametrize('task', ['instance', 'semantic', 'panoptic'])
def test_class_aware_configs_have_no_boundary_metrics(task):
    config = get_config(f'mask2former_swin-t_3x_{task}')
    with pytest.raises(ValueError, match=f'{task}.py tests with .*omit --boundary'):
        use_boundary_metrics(config)
