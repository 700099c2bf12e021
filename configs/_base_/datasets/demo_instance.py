# The instances of the demo data: the whole picture at a short side of 128.
_base_ = './entityseg_instance.py'

data_root = 'data/entityseg_demo/'
train_pipeline = [
    dict(type='mmentity.LoadEntityImage'),
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.FlipEntities', prob=0.5),
    dict(type='mmentity.ResizeViews', short_side=[112, 120, 128], long_side=192),
    dict(type='mmentity.PackEntityInputs'),
]
test_pipeline = [
    dict(type='mmentity.LoadEntityImage'),
    dict(type='mmentity.ResizeViews', short_side=128, long_side=192),
    dict(type='mmentity.LoadEntityAnnotations'),
    dict(type='mmentity.PackEntityInputs'),
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
val_evaluator = dict(
    ann_file=data_root + 'annotations/instance_segmentation/entityv2_01_instances_val.json'
)
test_evaluator = val_evaluator
