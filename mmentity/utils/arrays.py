"""Tensors and arrays."""

from typing import Any, Union

import numpy as np
from torch import Tensor


def to_numpy(value: Union[Tensor, Any]) -> np.ndarray:
    """Return a tensor of any device, or anything that numpy reads, as an array."""
    return value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
