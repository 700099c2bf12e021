"""Weights of other projects in mmentity's names."""

from mmentity.converters.detectron2 import convert_detectron2

__all__ = ['convert_detectron2']
