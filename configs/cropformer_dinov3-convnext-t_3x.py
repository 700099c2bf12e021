# CropFormer, ConvNeXt-T of timm, on EntitySeg's entities; not a model of the authors.
# Batch: 8 images (8 devices x 1) x 206,250 iterations; memory and time: not measured yet.
# Needs timm; --cfg-options model.backbone.pretrained=True begins with DINOv3's weights.
_base_ = [
    './_base_/models/cropformer_swin-t.py',
    './_base_/models/dinov3-convnext-t.py',
    './_base_/datasets/entityseg_views.py',
    './_base_/schedules/adamw_poly.py',
    './_base_/default_runtime.py',
]

model = dict(backbone=_base_.dinov3_convnext_t)

max_iters = 206250
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)
]
