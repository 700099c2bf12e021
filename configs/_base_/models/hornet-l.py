# Backbone HorNet-L of the official release; its head has twice the queries.
hornet_l = dict(
    _delete_=True,
    type='mmpretrain.HorNet',
    # the filters of the official weights, not those of mmpretrain's 'large-gf384'
    arch=dict(
        base_dim=192,
        depths=[2, 3, 18, 2],
        orders=[2, 3, 4, 5],
        dw_cfg=[
            dict(type='DW', kernel_size=7),
            dict(type='DW', kernel_size=7),
            dict(type='GF', h=24, w=13),
            dict(type='GF', h=12, w=7),
        ],
    ),
    scale=1 / 3,
    drop_path_rate=0.6,
    out_indices=(0, 1, 2, 3),
    gap_before_final_norm=False,
)
