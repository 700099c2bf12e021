# Backbone ConvNeXt-T of timm (`pip install 'timm>=1.0.20'`), which DINOv3 has weights for, under a
# licence of their own. pretrained=True downloads them whenever the model is built, so it is for
# the start of a training only: --cfg-options model.backbone.pretrained=True.
dinov3_convnext_t = dict(
    _delete_=True,
    type='mmpretrain.TIMMBackbone',
    model_name='convnext_tiny.dinov3_lvd1689m',
    features_only=True,
    pretrained=False,
)
