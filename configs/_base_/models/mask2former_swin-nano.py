# The Mask2Former of mask2former_swin-t.py made small enough to learn on a CPU.
_base_ = './mask2former_swin-t.py'

dims, heads = 64, 4
attention = dict(embed_dims=dims, num_heads=heads)
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=24, depths=[2, 2, 2, 2], num_heads=[2, 4, 4, 8]),
        drop_path_rate=0.0,
    ),
    panoptic_head=dict(
        in_channels=[24, 48, 96, 192],
        feat_channels=dims,
        out_channels=dims,
        num_queries=30,
        pixel_decoder=dict(
            encoder=dict(
                num_layers=2,
                layer_cfg=dict(
                    self_attn_cfg=attention,
                    ffn_cfg=dict(embed_dims=dims, feedforward_channels=256),
                ),
            ),
            positional_encoding=dict(num_feats=dims // 2),
        ),
        positional_encoding=dict(num_feats=dims // 2),
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(embed_dims=dims, feedforward_channels=256),
            ),
        ),
    ),
    train_cfg=dict(num_points=512),
    # ranks the crumbs that other queries leave below whole entities
    test_cfg=dict(mask_score='probability'),
)
