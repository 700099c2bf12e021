# Backbone ResNet-50 as in mmdet's Mask2Former: torchvision's weights, batch norms frozen.
resnet_50 = dict(
    _delete_=True,
    type='mmdet.ResNet',
    depth=50,
    num_stages=4,
    out_indices=(0, 1, 2, 3),
    # 1 to 4 freezes the stem and so many stages less one
    frozen_stages=-1,
    norm_cfg=dict(type='BN', requires_grad=False),
    norm_eval=True,
    style='pytorch',
    init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
)
