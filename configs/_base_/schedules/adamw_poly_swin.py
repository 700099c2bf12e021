# As adamw_poly.py; Swin's norms and relative position tables do not decay either. The longest
# key that a parameter name holds decides, so these win over 'backbone'.
_base_ = './adamw_poly.py'

swin_norm = dict(lr_mult=0.1, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'norm1.weight': swin_norm,
            'norm1.bias': swin_norm,
            'norm2.weight': swin_norm,
            'norm2.bias': swin_norm,
            'downsample.norm': swin_norm,
            'patch_embed.norm': swin_norm,
            'backbone.norm': swin_norm,
            'relative_position_bias_table': swin_norm,
        }
    )
)
