"""Weights of other projects in mmentity's names, and back."""

from mmentity.converters.backbones import convert_backbone
from mmentity.converters.detectron2 import convert_detectron2, mmentity_to_detectron2
from mmentity.converters.loading import load_weights
from mmentity.converters.reading import WeightsError

__all__ = [
    'WeightsError',
    'convert_backbone',
    'convert_detectron2',
    'load_weights',
    'mmentity_to_detectron2',
]
