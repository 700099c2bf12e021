"""Transforms of pictures and entity maps."""

from mmentity.datasets.transforms.formatting import PackEntityInputs
from mmentity.datasets.transforms.loading import LoadEntityAnnotations, LoadEntityImage
from mmentity.datasets.transforms.views import (
    CropViews,
    FlipEntities,
    LargeScaleJitter,
    ResizeViews,
)

__all__ = [
    'CropViews',
    'FlipEntities',
    'LargeScaleJitter',
    'LoadEntityAnnotations',
    'LoadEntityImage',
    'PackEntityInputs',
    'ResizeViews',
]
