# What panoptic segmentation on EntitySeg changes in a model of entities: 279 thing and 71 stuff
# classes.
num_things, num_stuff = 279, 71
task_model = dict(
    panoptic_head=dict(
        num_things_classes=num_things,
        num_stuff_classes=num_stuff,
        loss_cls=dict(class_weight=[1.0] * (num_things + num_stuff) + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=num_things, num_stuff_classes=num_stuff),
    test_cfg=dict(panoptic_on=True, object_mask_thr=0.8, iou_thr=0.8),
)
task_hooks = dict(checkpoint=dict(save_best='coco_panoptic/PQ'))
