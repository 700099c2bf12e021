# Mask2Former with a nano Swin on the panoptic segments of the demo data, from scratch on a
# CPU: 4 images x 1,200 iterations.
_base_ = [
    '../_base_/models/mask2former_swin-nano.py',
    '../_base_/tasks/panoptic.py',
    '../_base_/datasets/entityseg_panoptic.py',
    '../_base_/datasets/demo_whole.py',
    '../_base_/schedules/demo_onecycle.py',
]

model = _base_.task_model
default_hooks = _base_.task_hooks
train_dataloader = _base_.demo_train
val_dataloader = _base_.demo_val
test_dataloader = _base_.demo_val
tta_pipeline = _base_.demo_tta
