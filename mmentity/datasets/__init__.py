"""Datasets whose samples are entities."""

from mmentity.datasets.coco import CocoEntityDataset, CocoInstanceEntityDataset
from mmentity.datasets.entityseg import (
    EntitySegDataset,
    EntitySegInstanceDataset,
    EntitySegPanopticDataset,
    EntitySegSemanticDataset,
)
from mmentity.datasets.errors import SampleError
from mmentity.datasets.folder import EntityFolderDataset

__all__ = [
    'CocoEntityDataset',
    'CocoInstanceEntityDataset',
    'EntityFolderDataset',
    'EntitySegDataset',
    'EntitySegInstanceDataset',
    'EntitySegPanopticDataset',
    'EntitySegSemanticDataset',
    'SampleError',
]
