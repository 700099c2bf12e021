# As mask2former_swin-t_3x.py, on EntitySeg's low-resolution images (short side 800).
_base_ = ['./mask2former_swin-t_3x.py', './_base_/datasets/entityseg_lr.py']

train_dataloader = _base_.low_resolution_train
val_dataloader = _base_.low_resolution_val
test_dataloader = _base_.low_resolution_val
