# EntitySeg's 206 thing classes: large scale jitter in training, the whole image in testing. The
# data is for non-commercial use; see its licence.
dataset_type = 'mmentity.EntitySegInstanceDataset'
data_root = 'data/entityseg/'
ann_dir = 'annotations/instance_segmentation/'
data_prefix = dict(img='images/entity_01_11580/')

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
    # the ground truth to draw beside the prediction; delete where there is none
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
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_dir + 'entityv2_01_instances_train.json',
        data_prefix=data_prefix,
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
        ann_file=ann_dir + 'entityv2_01_instances_val.json',
        data_prefix=data_prefix,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='mmentity.EntitySegInstanceMetric',
    ann_file=data_root + ann_dir + 'entityv2_01_instances_val.json',
)
test_evaluator = val_evaluator
