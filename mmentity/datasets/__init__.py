"""Datasets whose samples are entities."""

from mmentity.datasets.coco_instances import CocoInstanceEntityDataset
from mmentity.datasets.coco_panoptic import CocoEntityDataset, EntitySegPanopticDataset
from mmentity.datasets.entityseg import EntitySegDataset, EntitySegInstanceDataset
from mmentity.datasets.errors import SampleError
from mmentity.datasets.folder import EntityFolderDataset
from mmentity.datasets.semantic import EntitySegSemanticDataset

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
