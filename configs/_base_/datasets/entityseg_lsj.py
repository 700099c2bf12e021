# EntitySeg for Mask2Former: large scale jitter in training, the whole image in testing.
_base_ = './entityseg_views.py'

train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmentity'),
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.FlipEntities', prob=0.5),
    dict(type='mmentity.LargeScaleJitter', size=1024, scale=(0.1, 2.0)),
    dict(type='mmentity.PackEntityInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmentity'),
    dict(type='mmentity.ResizeViews', short_side=800, long_side=1333),
    # the ground truth for scoring; delete where there is none
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.PackEntityInputs'),
]
tta_pipeline = [
    test_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='mmentity.FlipEntities', prob=prob) for prob in (0.0, 1.0)],
            *([step] for step in test_pipeline[1:]),
        ],
    ),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
