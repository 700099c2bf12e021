"""Datasets whose samples are entities."""

from mmentity.datasets.coco_entity import CocoEntityDataset
from mmentity.datasets.entityseg import EntitySegDataset
from mmentity.datasets.errors import SampleError

__all__ = ['CocoEntityDataset', 'EntitySegDataset', 'SampleError']
