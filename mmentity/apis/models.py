"""The config and device that a user names."""

from pathlib import Path
from typing import Union

import torch
from mmengine.config import Config

from mmentity.utils.shipped_configs import find_config


def read_config(model: Union[str, Path]) -> Config:
    """Read a config that is named by its path or its shipped name."""
    return Config.fromfile(str(find_config(model)))


def usable_device(device: str) -> str:
    """Check that a device exists and computes.

    Raises:
        ValueError: If it does not; the message names those that do.
    """
    try:
        torch.zeros(1, device=torch.device(device)).add(1)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        usable = ['cpu', *(f'cuda:{i}' for i in range(torch.cuda.device_count()))]
        reason = str(error).splitlines()[0].rstrip('.')
        raise ValueError(
            f'device {device!r} cannot be used here ({reason}); usable: {", ".join(usable)}'
        ) from error
    return device
