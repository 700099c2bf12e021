"""Networks: detectors, heads and their parts."""

from mmentity.models.data_preprocessor import MultiViewDataPreprocessor
from mmentity.models.detectors import CropFormer, EntityMask2Former
from mmentity.models.entity_fusion_head import EntityFusionHead
from mmentity.models.entity_heads import CropFormerHead, EntityMask2FormerHead
from mmentity.models.query_association import QueryAssociation

__all__ = [
    'CropFormer',
    'CropFormerHead',
    'EntityFusionHead',
    'EntityMask2Former',
    'EntityMask2FormerHead',
    'MultiViewDataPreprocessor',
    'QueryAssociation',
]
