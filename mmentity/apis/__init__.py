"""Prediction for people and pipelines."""

from typing import TYPE_CHECKING

from mmentity.apis.cutouts import entity_crops
from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.per_entity import EntityFeatures, EntityNames
from mmentity.apis.result import EntityResult
from mmentity.utils.lazy import lazy_names

if TYPE_CHECKING:
    from mmentity.apis.models import get_model
    from mmentity.apis.predictor import EntityPredictor
    from mmentity.apis.rows import list_rows

__all__ = [
    'EntityFeatures',
    'EntityInferencer',
    'EntityNames',
    'EntityPredictor',
    'EntityResult',
    'entity_crops',
    'get_model',
    'list_rows',
]

# they need PyTorch, or what files are written with, and prediction from an exported file does not
__getattr__, __dir__ = lazy_names(
    __name__,
    {'models': ('get_model',), 'predictor': ('EntityPredictor',), 'rows': ('list_rows',)},
)
