"""Datasets whose samples are entities."""

from typing import TYPE_CHECKING

from mmentity.datasets.errors import SampleError
from mmentity.utils.lazy import lazy_names

if TYPE_CHECKING:
    from mmentity.datasets.coco import CocoEntityDataset, CocoInstanceEntityDataset
    from mmentity.datasets.entityseg import (
        EntitySegDataset,
        EntitySegInstanceDataset,
        EntitySegPanopticDataset,
        EntitySegSemanticDataset,
    )
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

# they need OpenMMLab; the geometry of views and the reading of images beside them do not
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        'coco': ('CocoEntityDataset', 'CocoInstanceEntityDataset'),
        'entityseg': (
            'EntitySegDataset',
            'EntitySegInstanceDataset',
            'EntitySegPanopticDataset',
            'EntitySegSemanticDataset',
        ),
        'folder': ('EntityFolderDataset',),
    },
)
