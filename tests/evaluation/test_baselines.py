import pytest
from mmengine.config import Config

from mmentity.evaluation.baselines import score_without_network
from tests.conftest import ROOT

CASES = [
    ('', 'whole-image', 'entity', 'entity/APe'),
    ('', 'colour-clusters', 'entity', 'entity/APe'),
    ('_instance', 'majority', 'instance', 'coco/segm_mAP'),
    ('_semantic', 'majority', 'semantic', 'mIoU'),
    ('_panoptic', 'majority', 'panoptic', 'coco_panoptic/PQ'),
]


@pytest.mark.parametrize(('suffix', 'name', 'task', 'key'), CASES)
def test_predictors_without_a_network_score_between_nothing_and_all(
    suffix, name, task, key, demo_root
):
    config = Config.fromfile(ROOT / f'configs/demo/mask2former_swin-nano_demo{suffix}.py')
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.data_root = str(demo_root)
    if 'ann_file' in config.val_evaluator:
        path = config.val_evaluator.ann_file.split('annotations/')[1]
        config.val_evaluator.ann_file = str(demo_root / 'annotations' / path)
    assert 0 <= score_without_network(config, name, task)[key] < 100
