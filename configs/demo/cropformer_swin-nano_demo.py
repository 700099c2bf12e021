# CropFormer with a nano Swin on the demo data, from scratch on a CPU: 4 images x 1,400
# iterations.
_base_ = [
    '../_base_/models/cropformer_swin-nano.py',
    '../_base_/datasets/demo_views.py',
    '../_base_/schedules/demo_onecycle.py',
]
