# EntitySeg's 150 semantic classes: crops of 512 and changed colours in training, the whole image
# at a short side of 512 in testing. The data is for non-commercial use; see its licence.
dataset_type = 'mmentity.EntitySegSemanticDataset'
data_root = 'data/entityseg/'
ann_dir = 'annotations/semantic_segmentation/'

train_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmentity'),
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.FlipEntities', prob=0.5),
    dict(
        type='mmentity.ResizeViews',
        short_side=[int(512 * 0.1 * k) for k in range(5, 21)],
        long_side=2048,
    ),
    dict(type='mmentity.RandomCropViews', size=512),
    dict(type='mmentity.ApplyToViews', transforms=[dict(type='mmseg.PhotoMetricDistortion')]),
    dict(type='mmentity.PackEntityInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', _scope_='mmentity'),
    dict(type='mmentity.ResizeViews', short_side=512, long_side=2048),
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
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_dir + 'train.txt',
        data_prefix=dict(img='images/entity_01_11580/', seg=ann_dir + 'semantic_maps_train/'),
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
        ann_file=ann_dir + 'val.txt',
        data_prefix=dict(img='images/entity_01_11580/', seg=ann_dir + 'semantic_maps_val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='mmseg.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
