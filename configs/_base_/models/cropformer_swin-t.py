# CropFormer with a Swin-T backbone: the whole image and its crops.
_base_ = './mask2former_swin-t.py'

model = dict(
    type='mmentity.CropFormer',
    panoptic_head=dict(
        type='mmentity.CropFormerHead',
        association=dict(
            type='mmentity.QueryAssociation',
            embed_dims=256,
            num_heads=8,
            feedforward_channels=2048,
            num_layers=1,
        ),
        per_view_loss_weight=0.5,
    ),
    # every query is returned
    test_cfg=dict(max_per_image=None),
)
