# EntitySeg's 279 thing and 71 stuff classes: large scale jitter in training, the whole picture in
# testing. The data is for non-commercial use; see its licence.
dataset_type = 'mmentity.EntitySegPanopticDataset'
data_root = 'data/entityseg/'
ann_dir = 'annotations/panoptic_segmentation/'

train_pipeline = [
    dict(type='mmentity.LoadEntityImage'),
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.FlipEntities', prob=0.5),
    dict(type='mmentity.LargeScaleJitter', size=1024, scale=(0.1, 2.0)),
    dict(type='mmentity.PackEntityInputs'),
]
test_pipeline = [
    dict(type='mmentity.LoadEntityImage'),
    dict(type='mmentity.ResizeViews', short_side=800, long_side=1333),
    # the truth for scoring; delete where there is none
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.PackEntityInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_dir + 'entityv2_01_panoptic_train.json',
        data_prefix=dict(img='images/entity_01_11580/', seg=ann_dir + 'panoptic_maps_train/'),
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
        ann_file=ann_dir + 'entityv2_01_panoptic_val.json',
        data_prefix=dict(img='images/entity_01_11580/', seg=ann_dir + 'panoptic_maps_val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmentity.EntitySegPanopticMetric')
test_evaluator = val_evaluator
