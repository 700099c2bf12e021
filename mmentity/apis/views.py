"""The views that the network is given of an image, by the wish of the caller."""

import copy
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:
    from mmengine.config import Config

Grid = tuple[int, int]


def grid_of(views: Union[str, Sequence[int]]) -> Grid:
    """Read rows and columns of crops, as ``'3x3'`` or two numbers.

    Raises:
        ValueError: If they are no two numbers of at least 1.
    """
    if isinstance(views, str):
        found = re.fullmatch(r'(\d+)[xX](\d+)', views.strip())
        numbers = [int(number) for number in found.groups()] if found else []
    else:
        numbers = [int(number) for number in views]
    if len(numbers) != 2 or min(numbers) < 1:
        raise ValueError(
            f'views are {views!r}; write rows and columns of crops, such as 3x3, at least 1 each'
        )
    return numbers[0], numbers[1]


def with_views(
    config: 'Config', views: Optional[Union[str, Sequence[int]]], overlap: Optional[float] = None
) -> 'Config':
    """Return a config whose test pipeline cuts another grid of crops.

    Args:
        config: Of a model that sees crops; it stays as it is.
        views: Rows and columns of crops, as ``'3x3'`` or two numbers; by default those of
            the config.
        overlap: Part of a crop's side that it shares with its neighbour, 0 to below 1;
            by default that of the config, 4/7 for crops of 0.7.

    Raises:
        ValueError: If the model sees the whole image only, or a value is out of range.
    """
    if views is None and overlap is None:
        return config
    config = copy.deepcopy(config)
    steps = crop_steps(config)
    if not steps:
        raise ValueError(
            f'{config.filename or "the config"} has no CropViews in its test pipeline, so that '
            'the model sees the whole image only; choose a config of CropFormer, or cut the image '
            'into tiles (--tile)'
        )
    if overlap is not None and not 0 <= overlap < 1:
        raise ValueError(f'the overlap of views is {overlap}; it must be at least 0 and below 1')
    for step in steps:
        if views is not None:
            step['grid'] = grid_of(views)
        if overlap is not None:
            # two crops that share it reach from edge to edge
            step['crop_ratio'] = 1 / (2 - overlap)
    return config


def crop_steps(config: 'Config') -> list[dict[str, Any]]:
    """Return the steps of the test pipeline of a config that cut crops."""
    steps = config.test_dataloader.dataset.pipeline if 'test_dataloader' in config else []
    return [step for step in steps if str(step['type']).rpartition('.')[2] == 'CropViews']
