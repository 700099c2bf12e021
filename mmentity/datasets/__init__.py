"""Datasets whose samples are entities."""

from mmentity.datasets.coco_panoptic import CocoEntityDataset, EntitySegPanopticDataset
from mmentity.datasets.entityseg import EntitySegDataset, EntitySegInstanceDataset
from mmentity.datasets.errors import SampleError
from mmentity.datasets.semantic import EntitySegSemanticDataset

__all__ = [
    'CocoEntityDataset',
    'EntitySegDataset',
    'EntitySegInstanceDataset',
    'EntitySegPanopticDataset',
    'EntitySegSemanticDataset',
    'SampleError',
]
