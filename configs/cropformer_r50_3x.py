# CropFormer, ResNet-50, on EntitySeg's entities; not a model of the authors.
# Batch: 8 images (8 devices x 1) x 206,250 iterations; memory and time: not measured yet.
# The backbone begins with the weights of torchvision.
_base_ = [
    './_base_/models/cropformer_swin-t.py',
    './_base_/models/resnet-50.py',
    './_base_/datasets/entityseg_views.py',
    './_base_/schedules/adamw_poly.py',
    './_base_/default_runtime.py',
]

model = dict(
    backbone=_base_.resnet_50,
    panoptic_head=dict(in_channels=[256, 512, 1024, 2048]),
)

max_iters = 206250
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)
]
