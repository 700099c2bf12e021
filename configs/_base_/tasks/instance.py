# What instance segmentation on EntitySeg changes in a model of entities: 206 thing classes.
num_things, num_stuff = 206, 0
task_model = dict(
    panoptic_head=dict(
        num_things_classes=num_things,
        num_stuff_classes=num_stuff,
        loss_cls=dict(class_weight=[1.0] * (num_things + num_stuff) + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=num_things, num_stuff_classes=num_stuff),
    test_cfg=dict(instance_on=True, max_per_image=100, masks='rle'),
)
task_hooks = dict(checkpoint=dict(save_best='coco/segm_mAP'))
