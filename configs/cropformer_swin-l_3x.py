# CropFormer, Swin-L (window 7), on EntitySeg's entities at high resolution.
# Batch: 8 images (8 devices x 1) x 206,250 iterations; memory and time: not measured yet.
# The authors start from COCO-Entity weights: give them as `load_from`.
_base_ = './cropformer_swin-t_3x.py'

model = dict(
    backbone=dict(arch='large'),
    panoptic_head=dict(in_channels=[192, 384, 768, 1536]),
)
