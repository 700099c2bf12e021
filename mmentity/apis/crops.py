"""The number of crops that CropFormer sees beside the whole image, in prediction."""

import copy
from typing import TYPE_CHECKING

from mmentity.apis.views import crop_steps

if TYPE_CHECKING:
    from mmengine.config import Config

MOST_CROPS = 4


def check_crops(crops: int) -> None:
    """Raise a ValueError unless an image has that many corner crops."""
    if not 0 <= crops <= MOST_CROPS:
        raise ValueError(f'crops is {crops}; an image has 0 to {MOST_CROPS} corner crops')


def with_crops(config: 'Config', crops: int) -> 'Config':
    """Return a config whose test pipeline cuts the first corner crops, in a copy.

    Args:
        config: Config of a CropFormer.
        crops: Number of crops beside the whole image, in the order top left, top right, bottom
            left, bottom right. With 0 the whole image is the only view, for which
            ``test_cfg.one_view`` is set.

    Raises:
        ValueError: If an image has not that many corner crops, or the test pipeline cuts none.
    """
    check_crops(crops)
    config = copy.deepcopy(config)
    cutting = crop_steps(config)
    if not cutting:
        raise ValueError(
            f'crops is {crops}, but the test pipeline of {config.filename or "the config"} has no '
            'CropViews: its model sees the whole image only; choose a CropFormer, or drop crops'
        )
    for step in cutting:
        step.update(num_crops=crops, at_random=False)
    if crops == 0:
        config.merge_from_dict({'model.test_cfg.one_view': True})
    return config
