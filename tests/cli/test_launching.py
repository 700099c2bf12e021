import json
import logging
from types import SimpleNamespace

import numpy as np

from mmentity.cli.launching import write_figures


def test_figures_of_any_metric_are_written(tmp_path):
    runner = SimpleNamespace(
        cfg=SimpleNamespace(filename='a.py'), work_dir=str(tmp_path), logger=logging.getLogger()
    )
    figures = {'mIoU': np.float32(50.5), 'entity/APe_l': float('nan'), 'coco/segm_mAP': 3}
    write_figures(runner, figures, 'best.pth')
    record = json.loads((tmp_path / 'figures.json').read_text())
    assert record['figures'] == {'mIoU': 50.5, 'entity/APe_l': None, 'coco/segm_mAP': 3}
    assert (record['config'], record['checkpoint']) == ('a.py', 'best.pth')
    assert record['versions']['mmentity']
