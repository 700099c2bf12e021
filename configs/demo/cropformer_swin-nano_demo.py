# CropFormer with a nano Swin on the demo data, on a CPU: 4 images x 500 iterations from a trained
# Mask2Former: load_from=work_dirs/mask2former_swin-nano_demo/iter_1200.pth, as in `make demo`.
_base_ = [
    '../_base_/models/cropformer_swin-nano.py',
    '../_base_/datasets/demo_views.py',
    '../_base_/schedules/demo_finetune.py',
]
