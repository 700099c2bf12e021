"""Transforms of images and entity maps."""

from mmentity.datasets.transforms.formatting import PackEntityInputs
from mmentity.datasets.transforms.loading import LoadEntityAnnotations, LoadEntityImage
from mmentity.datasets.transforms.views import (
    ApplyToViews,
    CropViews,
    FlipEntities,
    LargeScaleJitter,
    RandomCropViews,
    ResizeViews,
)

__all__ = [
    'ApplyToViews',
    'CropViews',
    'FlipEntities',
    'LargeScaleJitter',
    'LoadEntityAnnotations',
    'LoadEntityImage',
    'PackEntityInputs',
    'RandomCropViews',
    'ResizeViews',
]
