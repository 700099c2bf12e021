# Mask2Former, Swin-T, on EntitySeg's semantic maps (150 classes).
# Batch: 16 images (8 devices x 2) x 34,375 iterations; memory and time: not measured yet.
# The authors start from Mask2Former trained on COCO: give its weights as `load_from`.
_base_ = [
    './_base_/models/mask2former_swin-t.py',
    './_base_/tasks/semantic.py',
    './_base_/datasets/entityseg_semantic.py',
    './_base_/schedules/adamw_poly_swin.py',
    './_base_/default_runtime.py',
]

model = _base_.task_model
default_hooks = _base_.task_hooks
visualizer = dict(type='mmentity.SemanticVisualizer')

max_iters = 34375
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=max_iters, by_epoch=False)
]
auto_scale_lr = dict(base_batch_size=16)
