"""Mask2Former configs of mmdet and mmseg, turned to EntitySeg as the docs say."""

import re
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, METRICS, MODELS, init_default_scope

from tests.conftest import ROOT, require_compiled_ops

CASES = [
    ('instance_segmentation.md', 'mmdet::mask2former', 'coco/segm_mAP'),
    ('panoptic_segmentation.md', 'mmdet::mask2former', 'coco_panoptic/PQ'),
    ('semantic_segmentation.md', 'mmseg::mask2former', 'mIoU'),
    pytest.param('stock_models.md', 'mmdet::mask_rcnn', 'coco/segm_mAP', marks=pytest.mark.slow),
    ('stock_models.md', 'mmdet::mask2former', 'coco/segm_mAP'),
    ('stock_models.md', 'mmseg::segformer', 'mIoU'),
]


def documented_config(page, base):
    """The config that a page of the docs gives for a model of another package."""
    text = (ROOT / 'docs' / page).read_text()
    return next(
        code
        for code in re.findall(r'```python\n(.*?)```', text, flags=re.DOTALL)
        if f"_base_ = '{base}" in code
    )


def shrink_mask2former(model, scope):
    head = model.panoptic_head if scope == 'mmdet' else model.decode_head
    model.backbone.update(depth=18, init_cfg=None)
    model.backbone.pop('frozen_stages', None)
    head.in_channels = [64, 128, 256, 512]
    head.transformer_decoder.num_layers = 2
    head.pixel_decoder.encoder.num_layers = 1
    train_cfg = model.train_cfg if scope == 'mmdet' else head.train_cfg
    train_cfg.num_points = 256


def shrink_mask_rcnn(model):
    model.backbone.update(depth=18, init_cfg=None)
    model.neck.in_channels = [64, 128, 256, 512]
    model.train_cfg.rpn_proposal.max_per_img = 32
    model.train_cfg.rcnn.sampler.num = 32
    # random weights are sure of nothing
    model.test_cfg.rpn.max_per_img = 16
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=4)


def shrink_segformer(model):
    model.backbone.init_cfg = None
    model.decode_head.norm_cfg.type = 'BN'
    model.test_cfg = dict(mode='whole')


def shrink(config, scope):
    """Make model and images small; nothing else of the config changes."""
    model = config.model
    if model.type == 'MaskRCNN':
        require_compiled_ops()
        shrink_mask_rcnn(model)
    elif model.get('decode_head', {}).get('type') == 'SegformerHead':
        shrink_segformer(model)
    else:
        shrink_mask2former(model, scope)
    model.data_preprocessor.pop('batch_augments', None)
    if scope == 'mmseg':
        if 'norm_cfg' in model.backbone:
            model.backbone.norm_cfg.type = 'BN'
        model.data_preprocessor.size = (128, 128)
    for loader in (config.train_dataloader, config.val_dataloader):
        for step in loader.dataset.pipeline:
            for key in ('scale', 'crop_size', 'img_scale'):
                if key in step and step.type != 'RandomChoiceResize':
                    step[key] = (128, 128)
            if step.type == 'RandomChoiceResize':
                step.update(scales=[128], max_size=256)


@pytest.mark.parametrize(('page', 'base', 'key'), CASES)
def test_documented_config_trains_and_scores(page, base, key, demo_root, tmp_path):
    code, scope = documented_config(page, base), base.split('::')[0]
    path = tmp_path / 'config.py'
    package = {'mmdet': mmdet, 'mmseg': mmseg}[scope]
    configs = Path(package.__file__).parent / '.mim' / 'configs'
    code = code.replace(f"'{scope}::", f"'{configs}/").replace('data/entityseg/', f'{demo_root}/')
    path.write_text(code)
    register_all_modules(init_default_scope=False)
    init_default_scope(scope)
    config = Config.fromfile(path)
    shrink(config, scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    train_set = DATASETS.build(config.train_dataloader.dataset)
    model.train()
    logs = model.train_step(pseudo_collate([train_set[0], train_set[1]]), optim_wrapper)
    assert all(torch.isfinite(value).all() for value in logs.values())

    val_set = DATASETS.build(config.val_dataloader.dataset)
    model.eval()
    evaluators = config.val_evaluator
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    built = [METRICS.build(evaluator) for evaluator in evaluators]
    with torch.no_grad():
        samples = model.test_step(pseudo_collate([val_set[0]]))
    metrics = {}
    for metric in built:
        metric.dataset_meta = val_set.metainfo
        metric.process({}, [sample.to_dict() for sample in samples])
        metrics.update(metric.evaluate(1))
    assert key in metrics
    init_default_scope('mmdet')
