"""High-quality entity segmentation (CropFormer) for OpenMMLab."""

from mmentity.utils.mmcv_ops import install_stand_in
from mmentity.utils.mmpretrain_multimodal import leave_out_language_models
from mmentity.utils.pkg_resources_stand_in import install_pkg_resources
from mmentity.utils.shipped_configs import config_path, get_config, register_with_mmengine
from mmentity.version import __version__

__all__ = ['__version__', 'config_path', 'get_config']

install_stand_in()
install_pkg_resources()
leave_out_language_models()
register_with_mmengine()
