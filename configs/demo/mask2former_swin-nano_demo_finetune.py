# What cropformer_swin-nano_demo.py is compared with: Mask2Former from the same weights, on the same
# images, for as many iterations.
_base_ = [
    '../_base_/models/mask2former_swin-nano.py',
    '../_base_/datasets/entityseg_views.py',
    '../_base_/datasets/demo_whole.py',
    '../_base_/schedules/demo_finetune.py',
]

train_dataloader = _base_.demo_train
val_dataloader = _base_.demo_val
test_dataloader = _base_.demo_val
tta_pipeline = _base_.demo_tta
