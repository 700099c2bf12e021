# As mask2former_swin-l_3x.py, on EntitySeg's low-resolution pictures (short side 800).
_base_ = './mask2former_swin-l_3x.py'

ann_dir = 'annotations/entity_segmentation/'
train_dataloader = dict(
    dataset=dict(
        ann_file=[
            ann_dir + 'entityv2_01_entity_train_lr.json',
            ann_dir + 'entityv2_02_entity_train_lr.json',
            ann_dir + 'entityv2_03_entity_train_lr.json',
        ],
        data_prefix=dict(img='images_lr/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file=ann_dir + 'entityv2_010203_entity_val_lr.json',
        data_prefix=dict(img='images_lr/'),
    )
)
test_dataloader = val_dataloader
