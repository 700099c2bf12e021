# EntitySeg for CropFormer: the whole image and crops of 0.7 x 0.7 at its corners, one drawn at
# random in training, all four in testing. The data is for non-commercial use; see its licence.
dataset_type = 'mmentity.EntitySegDataset'
data_root = 'data/entityseg/'
ann_dir = 'annotations/entity_segmentation/'

train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmentity'),
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.FlipEntities', prob=0.5),
    dict(type='mmentity.CropViews', crop_ratio=0.7, num_crops=1),
    dict(
        type='mmentity.ResizeViews',
        short_side=[640, 672, 704, 736, 768, 800],
        long_side=1333,
    ),
    dict(type='mmentity.PackEntityInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmentity'),
    dict(type='mmentity.CropViews', crop_ratio=0.7),
    dict(type='mmentity.ResizeViews', short_side=800, long_side=1333),
    # the ground truth for scoring; delete where there is none
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.PackEntityInputs'),
]

# copies of an image for `mmentity test --tta`: as it is, and mirrored
tta_model = dict(type='mmentity.EntityTTAModel')
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
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=[
            ann_dir + 'entityv2_01_entity_train.json',
            ann_dir + 'entityv2_02_entity_train.json',
            ann_dir + 'entityv2_03_entity_train.json',
        ],
        data_prefix=dict(img='images/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_dir + 'entityv2_010203_entity_val.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmentity.EntityMetric')
test_evaluator = val_evaluator
