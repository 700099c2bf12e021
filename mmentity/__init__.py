"""High-quality entity segmentation (CropFormer) for OpenMMLab."""

from mmentity.utils.mmcv_ops import install_stand_in
from mmentity.version import __version__

__all__ = ['__version__']

install_stand_in()
