"""Parameters and multiply-adds of a model."""

import math
from typing import Any, NamedTuple

import torch
from mmengine.analysis import FlopAnalyzer

from mmentity.models.detectors import EntityMask2Former


class Complexity(NamedTuple):
    """Size and work of a model.

    Attributes:
        parameters: Number of trained values.
        flops: Multiply-adds for one image, each counted as one, as mmengine's
            counter does; elementwise operations, Fourier transforms and scores of
            masked attention are not in it.
    """

    parameters: int
    flops: int


def measure_complexity(
    model: EntityMask2Former, height: int, width: int, num_views: int
) -> Complexity:
    """Count parameters and multiply-adds of the network, without the fusion.

    Args:
        model: Detector of this package, on the CPU.
        height: Height of each view, px, a multiple of 32.
        width: Width of each view, px, a multiple of 32.
        num_views: Views of the image: 5 for CropFormer in testing, else 1.

    Raises:
        ValueError: If a side is not a positive multiple of 32.

    Examples:
        >>> measure_complexity(model, 800, 1344, num_views=5).flops
    """
    if min(height, width) < 1 or height % 32 or width % 32:
        raise ValueError(f'the input is {height}x{width}; both sides must be multiples of 32')
    with torch.no_grad():
        analyzer = FlopAnalyzer(model.eval(), (torch.zeros(1, num_views, 3, height, width),))
        analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analyzer.set_op_handle('aten::scaled_dot_product_attention', _attention_flops)
        analyzer.set_op_handle('aten::embedding_bag', _embedding_bag_flops)
        flops = int(analyzer.total())
    return Complexity(sum(p.numel() for p in model.parameters()), flops)


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Products of fused attention: of queries and keys where no mask is, and with the values."""
    query, key, mask = inputs[0], inputs[1], inputs[3]
    *batch, num_queries, channels = query.type().sizes()
    product = math.prod(batch) * num_queries * key.type().sizes()[-2] * channels
    return product if isinstance(mask.type(), torch.TensorType) else 2 * product


def _embedding_bag_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Weighted sum of rows."""
    rows, indices = (value.type().sizes() for value in inputs[:2])
    return math.prod(indices) * rows[1]
