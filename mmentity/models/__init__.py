"""Networks: detectors, heads and their parts."""

from mmentity.models.data_preprocessor import MultiViewDataPreprocessor
from mmentity.models.detectors import CropFormer, EntityMask2Former
from mmentity.models.fusion.fusion_head import EntityFusionHead
from mmentity.models.heads.cropformer_head import CropFormerHead
from mmentity.models.heads.mask2former_head import EntityMask2FormerHead
from mmentity.models.layers.pixel_decoder import EntityPixelDecoder
from mmentity.models.layers.query_association import QueryAssociation
from mmentity.models.test_time_aug import EntityTTAModel

__all__ = [
    'CropFormer',
    'CropFormerHead',
    'EntityFusionHead',
    'EntityMask2Former',
    'EntityMask2FormerHead',
    'EntityPixelDecoder',
    'EntityTTAModel',
    'MultiViewDataPreprocessor',
    'QueryAssociation',
]
