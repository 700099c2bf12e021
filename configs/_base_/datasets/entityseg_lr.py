# What the `_lr` configs change: EntitySeg's low-resolution images (short side 800).
low_resolution_train = dict(
    dataset=dict(
        ann_file=[
            'annotations/entity_segmentation/entityv2_01_entity_train_lr.json',
            'annotations/entity_segmentation/entityv2_02_entity_train_lr.json',
            'annotations/entity_segmentation/entityv2_03_entity_train_lr.json',
        ],
        data_prefix=dict(img='images_lr/'),
    )
)
low_resolution_val = dict(
    dataset=dict(
        ann_file='annotations/entity_segmentation/entityv2_010203_entity_val_lr.json',
        data_prefix=dict(img='images_lr/'),
    )
)
