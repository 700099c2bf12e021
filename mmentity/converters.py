"""Weights of other projects in mmentity's names, and back."""

from mmentity.checkpoints.backbones import convert_backbone
from mmentity.checkpoints.detectron2 import convert_detectron2, mmentity_to_detectron2
from mmentity.checkpoints.load import load_weights
from mmentity.checkpoints.read import WeightsError

__all__ = [
    'WeightsError',
    'convert_backbone',
    'convert_detectron2',
    'load_weights',
    'mmentity_to_detectron2',
]
