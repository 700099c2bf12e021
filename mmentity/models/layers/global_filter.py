"""HorNet's global filter without complex numbers, for runtimes that lack Fourier transforms."""

import math
from typing import NamedTuple

import numpy as np
import torch
from mmpretrain.models.backbones.hornet import GlobalLocalFilter
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmentity.models.exporting import is_exported


class Waves(NamedTuple):
    """Cosines and sines of the discrete Fourier transform of one axis, ``(length, length)``."""

    cos: Tensor
    sin: Tensor


class MatrixGlobalFilter(GlobalLocalFilter):
    """mmpretrain's global filter, with the same parameters and results.

    In an exported graph its Fourier transforms are products with real matrices, exact up to
    rounding and small at strides 16 and 32, where the filters are.

    Args:
        plain: Gives its layers and parameters, under the same names.
    """

    def __init__(self, plain: GlobalLocalFilter) -> None:
        super(GlobalLocalFilter, self).__init__()
        self.dw, self.complex_weight = plain.dw, plain.complex_weight
        self.pre_norm, self.post_norm = plain.pre_norm, plain.post_norm

    def forward(self, x: Tensor) -> Tensor:
        """Filter ``(B, C, h, w)``: half of the channels locally, the others globally."""
        if not is_exported():
            return super().forward(x)
        local, everywhere = self.pre_norm(x).chunk(2, dim=1)
        parts = (self.dw(local), self._filter(everywhere.float()))
        return self.post_norm(torch.stack(parts, dim=2).flatten(1, 2))

    def _filter(self, x: Tensor) -> Tensor:
        height, width = (int(side) for side in x.shape[-2:])
        down, across = waves_of(height), waves_of(width)
        half = width // 2 + 1
        real, imaginary = x @ across.cos[:, :half], x @ -across.sin[:, :half]
        real, imaginary = (
            down.cos @ real + down.sin @ imaginary,
            down.cos @ imaginary - down.sin @ real,
        )
        weight_real, weight_imaginary = self._weights(height, half)
        real, imaginary = (
            real * weight_real - imaginary * weight_imaginary,
            real * weight_imaginary + imaginary * weight_real,
        )
        real, imaginary = (
            down.cos @ real - down.sin @ imaginary,
            down.cos @ imaginary + down.sin @ real,
        )
        # a frequency stands for its mirror image too, where that is another one
        mirrored = [1.0 if k in (0, width - k) else 2.0 for k in range(half)]
        counts = torch.tensor(mirrored)[:, None]
        return real @ (counts * across.cos[:half]) - imaginary @ (counts * across.sin[:half])

    def _weights(self, height: int, half: int) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of the filter at the size of the spectrum, ``(C, h, half)``."""
        weight = self.complex_weight.permute(3, 0, 1, 2)
        if tuple(weight.shape[2:]) != (height, half):
            weight = F.interpolate(weight, (height, half), mode='bilinear', align_corners=True)
        return weight[0], weight[1]


def use_matrix_filters(backbone: nn.Module) -> None:
    """Replace the global filters of a HorNet of mmpretrain, in place; others stay as they are."""
    for module in list(backbone.modules()):
        for name, child in module.named_children():
            if type(child) is GlobalLocalFilter:
                setattr(module, name, MatrixGlobalFilter(child).train(child.training))


def waves_of(length: int) -> Waves:
    """Make the tables of an orthonormal transform, float32."""
    places = np.arange(length)
    # the product is taken modulo the length while it is an integer, so that angles stay exact
    angles = 2 * math.pi / length * (places[:, None] * places % length)
    cos, sin = (wave(angles) / math.sqrt(length) for wave in (np.cos, np.sin))
    return Waves(*(torch.from_numpy(table.astype(np.float32)) for table in (cos, sin)))
