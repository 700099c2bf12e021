"""Every shipped config builds, trains a step and tests a step."""

import pytest
import torch
from mmdet.registry import DATASETS, METRICS, MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper

from tests.conftest import ROOT

CONFIGS = sorted(
    str(path.relative_to(ROOT / 'configs'))
    for folder in ('', 'demo')
    for path in (ROOT / 'configs' / folder).glob('*.py')
)


def test_the_configs_are_found():
    names = {
        f'{model}_{backbone}_3x{lr}.py'
        for model in ('cropformer', 'mask2former')
        for backbone in ('swin-t', 'swin-l', 'hornet-l')
        for lr in ('', '_lr')
    }
    names |= {
        f'{model}_{backbone}_3x.py'
        for model in ('cropformer', 'mask2former')
        for backbone in ('r50', 'convnextv2-t', 'dinov3-convnext-t')
    }
    names |= {
        f'mask2former_{backbone}_3x_{task}.py'
        for task in ('instance', 'semantic', 'panoptic')
        for backbone in (
            ('swin-t', 'swin-l') if task == 'instance' else ('swin-t', 'swin-l-w7', 'swin-l-w12')
        )
    }
    assert names <= set(CONFIGS)


def shrink_pipeline(pipeline):
    for step in pipeline:
        if step.type.endswith('ResizeViews'):
            step.update(short_side=64, long_side=96)
        elif step.type.endswith(('LargeScaleJitter', 'RandomCropViews')):
            step.update(size=96)


def shrink_depth(model):
    """Make Swin-L and HorNet-L shallow, and keep every layer in every step."""
    backbone = model.backbone
    if backbone.type.endswith('TIMMBackbone'):
        pytest.importorskip('timm')
    elif not backbone.type.endswith('ResNet'):
        backbone.drop_path_rate = 0.0
    # no download in a test
    backbone.init_cfg = None
    if backbone.type.endswith('HorNet'):
        backbone.arch.depths = [1, 1, 1, 1]
    elif backbone.get('arch') == 'large':
        backbone.arch = {
            'embed_dims': 192,
            'depths': [1, 1, 2, 1],
            'num_heads': [6, 12, 24, 48],
        }
    if backbone.type.endswith('HorNet') or model.panoptic_head.in_channels[0] == 192:
        model.panoptic_head.transformer_decoder.num_layers = 3
        model.panoptic_head.pixel_decoder.encoder.num_layers = 1


def check_prediction(sample, model):
    height, width = sample.ori_shape
    if model.test_cfg.get('semantic_on'):
        assert sample.pred_sem_seg.data.shape == (1, height, width)
    elif model.test_cfg.get('panoptic_on'):
        assert sample.pred_panoptic_seg.sem_seg.shape == (1, height, width)
    elif model.test_cfg.get('instance_on'):
        assert len(sample.pred_instances.masks) == len(sample.pred_instances) <= 100
    else:
        assert sample.pred_entity_map.ids.shape == (1, height, width)
        assert sample.pred_entity_map.ids.dtype == torch.int32
        assert len(sample.pred_instances) <= model.panoptic_head.num_queries


@pytest.mark.parametrize('name', CONFIGS)
def test_one_step_of_training_and_testing(name, demo_root):
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    config = Config.fromfile(ROOT / 'configs' / name)
    lines = (ROOT / 'configs' / name).read_text().splitlines()
    assert len(lines) < 60
    assert lines[0].startswith('# ')
    shrink_depth(config.model)
    config.model.train_cfg.num_points = 256
    model = MODELS.build(config.model)
    model.init_weights()

    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.data_root = str(demo_root)
        shrink_pipeline(loader.dataset.pipeline)
    train_set = DATASETS.build(config.train_dataloader.dataset)
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    model.train()
    batch = pseudo_collate([train_set[i] for i in range(3)])
    logs = model.train_step(batch, optim_wrapper)
    assert all(torch.isfinite(value) for value in logs.values())

    val_set = DATASETS.build(config.val_dataloader.dataset)
    model.eval()
    with torch.no_grad():
        samples = model.test_step(pseudo_collate([val_set[i] for i in range(len(val_set))]))
    assert [sample.img_id for sample in samples] == list(range(1, len(val_set) + 1))
    for sample in samples:
        check_prediction(sample, config.model)
    evaluator = config.val_evaluator
    if 'ann_file' in evaluator:
        path = evaluator.ann_file.split('annotations/')[1]
        evaluator.ann_file = str(demo_root / 'annotations' / path)
    metric = METRICS.build(evaluator)
    metric.dataset_meta = val_set.metainfo
    metric.process({}, [sample.to_dict() for sample in samples])
    metrics = metric.evaluate(len(samples))
    assert config.default_hooks.checkpoint.save_best in metrics


def groups(name):
    config = Config.fromfile(ROOT / 'configs' / name)
    shrink_depth(config.model)
    model = MODELS.build(config.model)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {id(value): key for key, value in model.named_parameters()}
    return {
        names[id(group['params'][0])]: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
    }


@pytest.mark.parametrize(
    ('name', 'backbone_norms_decay'),
    [('cropformer_swin-t_3x.py', False), ('cropformer_hornet-l_3x.py', True)],
)
def test_learning_rate_and_weight_decay_of_every_parameter(name, backbone_norms_decay):
    """As in the official release: backbone x 0.1; norms, embeddings and tables do not decay."""
    register_all_modules(init_default_scope=True)
    for key, (lr, weight_decay) in groups(name).items():
        in_backbone = key.startswith('backbone.')
        assert lr == pytest.approx(1e-5 if in_backbone else 1e-4), key
        norm = 'norm' in key or '.gn.' in key
        embedding = key.startswith('panoptic_head.') and any(
            f'.{word}.' in key for word in ('query_embed', 'query_feat', 'level_embed')
        )
        free = embedding or 'relative_position_bias_table' in key
        free = free or (norm and not (in_backbone and backbone_norms_decay))
        assert weight_decay == pytest.approx(0.0 if free else 0.05), key


def test_the_learning_rate_of_convnext_falls_layer_by_layer():
    """By 0.8 from each layer to the one before it; all of the head has the full rate."""
    register_all_modules(init_default_scope=True)
    found = groups('cropformer_convnextv2-t_3x.py')
    for key, (lr, weight_decay) in found.items():
        if key.startswith('panoptic_head.'):
            assert lr == pytest.approx(1e-4), key
        embedding = any(f'.{word}' in key for word in ('query_embed', 'query_feat', 'level_embed'))
        free = embedding or 'norm' in key or '.gn.' in key or key.endswith('bias')
        assert not free or weight_decay == 0, key
    stem, first, second = (
        found[f'backbone.{name}.weight'][0]
        for name in (
            'downsample_layers.0.0',
            'stages.0.0.depthwise_conv',
            'stages.1.0.depthwise_conv',
        )
    )
    assert stem == pytest.approx(0.8 * first)
    assert first == pytest.approx(0.8 * second)
    assert stem == pytest.approx(1e-4 * 0.8**7)


@pytest.mark.parametrize(
    ('name', 'stages'), [('mask2former_r50_3x.py', 2), ('mask2former_convnextv2-t_3x.py', 2)]
)
def test_frozen_stages_are_not_trained(name, stages):
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(ROOT / 'configs' / name)
    config.model.backbone.update(frozen_stages=stages, init_cfg=None)
    model = MODELS.build(config.model)
    before = {key for key, value in model.named_parameters() if value.requires_grad}
    model.train()
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    assert before == trained
    frozen = ('backbone.layer1.', 'backbone.conv1') if 'r50' in name else ('backbone.stages.0.',)
    assert not [key for key in trained if key.startswith(frozen)]
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    assert any(key.startswith('backbone.') for key in trained)
    assert sum(len(group['params']) for group in optimizer.param_groups) >= len(trained)


def test_a_backbone_without_depths_is_refused_by_name():
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(ROOT / 'configs/mask2former_r50_3x.py')
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model)
    with pytest.raises(NotImplementedError, match='ResNet has no get_layer_depth'):
        model.get_layer_depth('backbone.conv1.weight')
