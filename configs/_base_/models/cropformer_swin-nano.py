# The CropFormer of cropformer_swin-t.py, as small as mask2former_swin-nano.py.
_base_ = './mask2former_swin-nano.py'

model = dict(
    type='mmentity.CropFormer',
    panoptic_head=dict(
        type='mmentity.CropFormerHead',
        association=dict(
            type='mmentity.QueryAssociation',
            embed_dims=64,
            num_heads=4,
            feedforward_channels=256,
            num_layers=1,
        ),
        per_view_loss_weight=0.5,
    ),
    test_cfg=dict(max_per_image=None),
)
