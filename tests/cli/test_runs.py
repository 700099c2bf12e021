import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

from mmentity.cli.runs import use_mixed_precision, write_metrics


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
