# Mask2Former, Swin-L (window 7), on EntitySeg's panoptic segments (279 thing and 71 stuff classes).
# Batch: 16 images (8 devices x 2) x 34,375 iterations; memory and time: not measured yet.
# The authors start from Mask2Former trained on COCO: give its weights as `load_from`.
_base_ = './mask2former_swin-t_3x_panoptic.py'

model = dict(
    backbone=dict(arch='large', window_size=7),
    panoptic_head=dict(in_channels=[192, 384, 768, 1536]),
)
