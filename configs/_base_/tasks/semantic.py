# What semantic segmentation on EntitySeg changes in a model of entities: 150 classes.
num_things, num_stuff = 150, 0
task_model = dict(
    panoptic_head=dict(
        num_things_classes=num_things,
        num_stuff_classes=num_stuff,
        loss_cls=dict(class_weight=[1.0] * (num_things + num_stuff) + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=num_things, num_stuff_classes=num_stuff),
    test_cfg=dict(semantic_on=True),
)
task_hooks = dict(checkpoint=dict(save_best='mIoU'))
