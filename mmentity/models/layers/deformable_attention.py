"""Deformable attention (Zhu et al., Deformable DETR, ICLR 2021, section 4.1) on every device."""

import importlib
from typing import Any, Literal, Optional, Union

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch import Tensor

from mmentity.models.exporting import is_exported
from mmentity.models.layers.sampled_sums import SampledSums, Samples, Sizes
from mmentity.models.transfers import move

AttentionWay = Literal['embedding_bag', 'compiled', 'grid_sample']


def attention_way(device: Union[torch.device, str]) -> AttentionWay:
    """Tell how deformable attention is computed on a device; every way has a gradient.

    Returns:
        ``'embedding_bag'`` on the CPU: sums of weighted rows, which hold no samples;
        ``'compiled'`` on a CUDA device where mmcv has its op compiled for CUDA;
        ``'grid_sample'``, plain PyTorch, everywhere else, and in an exported graph.

    Examples:
        >>> attention_way('cpu')
        'embedding_bag'
    """
    kind = torch.device(device).type
    if is_exported():
        return 'grid_sample'
    if kind == 'cpu':
        return 'embedding_bag'
    return 'compiled' if kind == 'cuda' and _has_compiled_op() else 'grid_sample'


def _has_compiled_op() -> bool:
    """Whether mmcv has the op for CUDA, which mmcv-lite and builds without CUDA have not."""
    extension = importlib.import_module('mmcv._ext')
    if getattr(extension, '__mmentity_stand_in__', False):
        return False
    # without CUDA mmcv compiles the entry of the op all the same
    is_there = hasattr(extension, 'ms_deform_attn_forward')
    return is_there and extension.get_compiling_cuda_version() != 'not available'


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's deformable attention, computed as :func:`attention_way` says.

    Takes the arguments of mmcv's module and has its parameters; the batch is the first
    axis of all inputs, and sizes of levels are integers, not tensors.
    """

    def forward(
        self,
        query: Tensor,
        key: Optional[Tensor] = None,
        value: Optional[Tensor] = None,
        identity: Optional[Tensor] = None,
        query_pos: Optional[Tensor] = None,
        key_padding_mask: Optional[Tensor] = None,
        *,
        reference_points: Tensor,
        spatial_shapes: Sizes,
        **kwargs: Any,
    ) -> Tensor:
        """Attend to the values around reference points; keys have no part in that.

        Args:
            query: ``(B, N, C)``.
            key: Not used.
            value: Cells of all levels, one level after the other, ``(B, K, C)``; by
                default the queries.
            identity: What the result is added to; by default the queries.
            query_pos: Added to the queries.
            key_padding_mask: bool ``(B, K)``, True = its value counts as 0.
            reference_points: ``(B, N, levels, 2)`` as (x, y) in 0..1, or what broadcasts
                to it.
            spatial_shapes: Height and width of each level.

        Returns:
            ``(B, N, C)``.
        """
        identity = query if identity is None else identity
        values = self.project(query if value is None else value, key_padding_mask)
        query = query if query_pos is None else query + query_pos
        reference_points = reference_points.expand(*query.shape[:2], -1, -1)
        way = attention_way(query.device)
        sample = self._sample_rows if way == 'embedding_bag' else self._sample_maps
        sums = sample(query, values, reference_points, spatial_shapes)
        return self.dropout(self.output_proj(sums)) + identity

    def project(self, value: Tensor, padding_mask: Optional[Tensor]) -> Tensor:
        """Project values ``(..., C)``; those where bool ``(...)`` is True become 0."""
        values = self.value_proj(value)
        if padding_mask is not None:
            values = values.masked_fill(padding_mask[..., None], 0.0)
        return values

    def samples(self, query: Tensor, reference_points: Tensor, sizes: Sizes) -> Samples:
        """Tell where queries sample, and how much each sample weighs, in float32 always.

        Args:
            query: ``(..., N, C)``, positions added.
            reference_points: ``(..., N, levels, 2)`` as (x, y) in 0..1; one level stands
                for all.
            sizes: Height and width of each level.
        """
        num_samples = self.num_levels * self.num_points
        logits = self.attention_weights(query).float()
        logits = logits.unflatten(-1, (self.num_heads, num_samples))
        # PyTorch's softmax is slow over so few values
        exponentials = (logits - logits.detach().amax(dim=-1, keepdim=True)).exp()
        attention = exponentials / exponentials.sum(dim=-1, keepdim=True)
        # half precision would move points by up to half a cell
        with torch.autocast(query.device.type, enabled=False):
            offsets = self.sampling_offsets(query.float())
        offsets = offsets.unflatten(-1, (self.num_heads, num_samples, 2))
        points = []
        for axis, size in enumerate(zip(*(size[::-1] for size in sizes))):
            # offsets are in cells of the level; centres of cells lie at halves
            length = move(torch.tensor(size, dtype=reference_points.dtype), query.device)
            centres = reference_points[..., axis] * length - 0.5
            centres = centres.repeat_interleave(self.num_points, dim=-1)
            points.append(offsets[..., axis] + centres[..., None, :])
        x, y = points
        return Samples(x, y, attention)

    def _sample_rows(
        self, query: Tensor, values: Tensor, reference_points: Tensor, sizes: Sizes
    ) -> Tensor:
        """Sum samples on the CPU, one image at a time."""
        # the sparse product of their gradient has no half precision
        values = values.float() if torch.is_grad_enabled() else values
        sums = [
            SampledSums.apply(value, *self.samples(tokens, points, sizes), sizes, self.num_points)
            for tokens, value, points in zip(query, values, reference_points)
        ]
        return torch.stack(sums)

    def _sample_maps(
        self, query: Tensor, values: Tensor, reference_points: Tensor, sizes: Sizes
    ) -> Tensor:
        """Sum samples by mmcv's functions: its compiled op, or PyTorch's ``grid_sample``.

        Both take points and values of one type, so the values become float32 too.
        """
        samples = self.samples(query, reference_points, sizes)
        by_level = (self.num_levels, self.num_points)
        points = torch.stack((samples.x, samples.y), dim=-1).unflatten(-2, by_level)
        shapes = move(torch.tensor(sizes), query.device)
        locations = (points + 0.5) / shapes.flip(1)[:, None]
        attention = samples.attention.unflatten(-1, by_level)
        values = values.float().unflatten(-1, (self.num_heads, -1))
        if attention_way(query.device) == 'grid_sample':
            return multi_scale_deformable_attn_pytorch(values, sizes, locations, attention)
        areas = shapes.prod(dim=1)
        return MultiScaleDeformableAttnFunction.apply(
            values, shapes, areas.cumsum(dim=0) - areas, locations, attention, self.im2col_step
        )
