# The demo data for CropFormer: images of 288 x 384, read at a short side of 96, so that the
# crops show what the whole image is too coarse for.
_base_ = './entityseg_views.py'

data_root = 'data/entityseg_demo/'
train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmentity'),
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.FlipEntities', prob=0.5),
    dict(type='mmentity.CropViews', crop_ratio=0.7, num_crops=1),
    dict(type='mmentity.ResizeViews', short_side=[80, 88, 96], long_side=144),
    dict(type='mmentity.PackEntityInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmentity'),
    dict(type='mmentity.CropViews', crop_ratio=0.7),
    dict(type='mmentity.ResizeViews', short_side=96, long_side=144),
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
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
