"""Weights of other projects in mmentity's names, and back."""

from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.load import load_weights
from mmentity.checkpoints.recognise import (
    convert_backbone,
    convert_detectron2,
    mmentity_to_detectron2,
)

__all__ = [
    'WeightsError',
    'convert_backbone',
    'convert_detectron2',
    'load_weights',
    'mmentity_to_detectron2',
]
