# CropFormer, HorNet-L, on EntitySeg's entities at high resolution.
# Batch: 8 images (8 devices x 1) x 206,250 iterations; memory and time: not measured yet.
# The authors start from COCO-Entity weights: give them as `load_from`.
_base_ = [
    './_base_/models/cropformer_swin-t.py',
    './_base_/models/hornet-l.py',
    './_base_/datasets/entityseg_views.py',
    './_base_/schedules/adamw_poly.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=_base_.hornet_l,
    panoptic_head=dict(in_channels=[192, 384, 768, 1536], num_queries=200),
)

max_iters = 206250
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)
]
