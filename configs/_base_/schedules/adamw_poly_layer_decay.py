# As adamw_poly.py, but the learning rate of the backbone falls by a factor from each layer to the
# one before it (mmpretrain's backbones; the head has the full rate). Norms, biases and embeddings
# do not decay.
_base_ = './adamw_poly.py'

no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.8,
        norm_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={'query_embed': no_decay, 'query_feat': no_decay, 'level_embed': no_decay},
    ),
)
