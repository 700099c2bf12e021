# Mask2Former, Swin-L (window 7), on EntitySeg's entities at high resolution.
# Batch: 16 images (8 devices x 2) x 103,125 iterations; memory and time: not measured yet.
# The authors start from COCO-Entity weights: give them as `load_from`.
_base_ = './mask2former_swin-t_3x.py'

model = dict(
    backbone=dict(arch='large'),
    panoptic_head=dict(in_channels=[192, 384, 768, 1536]),
)
