# As entityseg_instance.py, on EntitySeg's panoptic annotations: 279 thing and 71 stuff classes.
_base_ = './entityseg_instance.py'

ann_dir = 'annotations/panoptic_segmentation/'
img_prefix = 'images/entity_01_11580/'
train_dataloader = dict(
    dataset=dict(
        type='mmentity.EntitySegPanopticDataset',
        ann_file=ann_dir + 'entityv2_01_panoptic_train.json',
        data_prefix=dict(img=img_prefix, seg=ann_dir + 'panoptic_maps_train/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='mmentity.EntitySegPanopticDataset',
        ann_file=ann_dir + 'entityv2_01_panoptic_val.json',
        data_prefix=dict(img=img_prefix, seg=ann_dir + 'panoptic_maps_val/'),
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(_delete_=True, type='mmentity.EntitySegPanopticMetric')
test_evaluator = val_evaluator
