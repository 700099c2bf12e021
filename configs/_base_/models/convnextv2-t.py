# Backbone ConvNeXt-V2-T of mmpretrain, pretrained on ImageNet-21k.
convnextv2_t = dict(
    _delete_=True,
    type='mmpretrain.ConvNeXt',
    arch='tiny',
    use_grn=True,
    layer_scale_init_value=0.0,
    drop_path_rate=0.2,
    out_indices=(0, 1, 2, 3),
    # 1 to 4 freezes so many stages and what is before them
    frozen_stages=0,
    gap_before_final_norm=False,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://download.openmmlab.com/mmclassification/v0/convnext-v2/'
        'convnext-v2-tiny_fcmae-in21k-pre_3rdparty_in1k_20230104-8cc8b8f2.pth',
        prefix='backbone.',
    ),
)
