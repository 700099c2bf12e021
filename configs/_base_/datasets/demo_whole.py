# What the demo configs of Mask2Former change in their dataset: the demo data, the whole image at
# a short side of 96.
demo_root = 'data/entityseg_demo/'
demo_train = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        data_root=demo_root,
        pipeline=[
            dict(type='LoadImageFromFile', _scope_='mmentity'),
            dict(type='mmentity.LoadEntityAnnotations'),
            dict(type='mmentity.FlipEntities', prob=0.5),
            dict(type='mmentity.ResizeViews', short_side=[80, 88, 96], long_side=144),
            dict(type='mmentity.PackEntityInputs'),
        ],
    ),
)
demo_val = dict(
    num_workers=1,
    dataset=dict(
        data_root=demo_root,
        pipeline=[
            dict(type='LoadImageFromFile', _scope_='mmentity'),
            dict(type='mmentity.ResizeViews', short_side=96, long_side=144),
            dict(type='mmentity.LoadEntityAnnotations'),
            dict(type='mmentity.PackEntityInputs'),
        ],
    ),
)
demo_tta = [
    demo_val['dataset']['pipeline'][0],
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='mmentity.FlipEntities', prob=prob) for prob in (0.0, 1.0)],
            *([step] for step in demo_val['dataset']['pipeline'][1:]),
        ],
    ),
]
