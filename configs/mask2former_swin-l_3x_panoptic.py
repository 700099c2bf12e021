# The window 7 variant of Swin-L, as in the entity models; window 12 has another config.
_base_ = './mask2former_swin-l-w7_3x_panoptic.py'
