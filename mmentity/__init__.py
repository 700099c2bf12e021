"""High-quality entity segmentation (CropFormer) for OpenMMLab."""

from mmentity.version import __version__

__all__ = ['__version__']
