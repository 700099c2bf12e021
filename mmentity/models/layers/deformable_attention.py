"""Deformable attention on the CPU as weighted sums of rows.

A sample of deformable attention (Zhu et al., Deformable DETR, ICLR 2021, section
4.1) is a weighted sum of four neighbouring rows of the values, so a query and
head is one bag of ``4 * levels * points`` rows. :func:`embedding_bag` sums such
bags without ever holding the samples, and their gradient is the product with a
sparse matrix of the same places and weights.
"""

from collections.abc import Iterator, Sequence
from typing import Optional

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.layers.transformer.deformable_detr_layers import (
    DeformableDetrTransformerEncoderLayer,
)
from mmdet.models.layers.transformer.mask2former_layers import Mask2FormerTransformerEncoder
from scipy.sparse import csc_array
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

# queries that are worked on at a time, so that what they need stays in the cache
QUERY_CHUNK = 1024


class BorderedRows:
    """Values of one picture as rows, every level inside a border of zeros.

    Points outside of a level then need no care: they are moved onto the border.

    Args:
        values: ``(K, C)``, the places of all levels one after the other.
        sizes: Height and width of each level.
        num_heads: Heads; each place has a row of ``C / heads`` values for each.
        num_points: Points of each level that a head samples.

    Attributes:
        rows: ``(places with borders * heads, C / heads)``.
    """

    def __init__(
        self, values: Tensor, sizes: Sequence[Sequence[int]], num_heads: int, num_points: int
    ) -> None:
        self.sizes = sizes
        self.starts, count = [], 0
        for height, width in sizes:
            self.starts.append(count)
            count += (height + 3) * (width + 3)
        bordered = values.new_zeros((count, values.shape[1]))
        for inside, level in self._inside(bordered, values):
            inside.copy_(level)
        self.rows = bordered.view(count * num_heads, -1)

        def of_samples(numbers: list, dtype: torch.dtype) -> Tensor:
            """One number for each level, repeated for its points and for each head."""
            of_points = torch.tensor(numbers, dtype=dtype).repeat_interleave(num_points)
            return of_points.repeat(num_heads, 1)

        heads = torch.arange(num_heads, dtype=torch.int32)[:, None]
        down = [num_heads * (width + 3) for _, width in sizes]
        origin = [num_heads * (start + 1) + step for start, step in zip(self.starts, down)]
        self._right = num_heads
        self._down = of_samples(down, torch.int32)
        self._origin = of_samples(origin, torch.int32) + heads
        self._limits = [of_samples(list(axis), values.dtype) for axis in zip(*sizes)]
        self._first = values.new_tensor(-1.0)

    def bags(self, points: Sequence[Tensor], attention: Tensor) -> tuple:
        """Find the rows around points, and their weights.

        Args:
            points: x and y in cells of the level, 0 at the centre of the first, both
                ``(N, heads, levels * points)``.
            attention: ``(N, heads, levels * points)``.

        Returns:
            Places int32 and weights, both ``(N * heads, 4 * levels * points)``;
            the weights can be differentiated.
        """
        y_limit, x_limit = self._limits
        x, right = self._cell(points[0], x_limit)
        y, below = self._cell(points[1], y_limit)
        place = (y * self._down).add_(x, alpha=self._right).add_(self._origin)
        under = place + self._down
        places = [place, place + self._right, under, under + self._right]
        below = attention * below
        above = attention - below
        above_right, below_right = above * right, below * right
        weights = [above - above_right, above_right, below - below_right, below_right]
        return torch.cat(places, dim=-1).flatten(0, 1), torch.cat(weights, dim=-1).flatten(0, 1)

    def _cell(self, points: Tensor, limit: Tensor) -> tuple:
        """Cell at or below each point along one axis, int32, and how far the point is beyond it."""
        points = torch.clamp(points, self._first, limit)
        low = points.detach().floor()
        # not a number becomes the least integer
        return low.int().clamp_(min=-1), points - low

    def sums(self, points: Sequence[Tensor], attention: Tensor) -> Tensor:
        """Sum the samples of each query, ``(N, C)``; arguments as for :meth:`bags`."""
        place, weights = self.bags(points, attention)
        sums = _sum_bags(place, self.rows, weights)
        return sums.view(len(attention), -1)

    def gradient(self, place: Tensor, weights: Tensor, grad: Tensor) -> Tensor:
        """Gradient of the values ``(K, C)`` from that of the sums ``(N, C)``."""
        bags, length = place.shape
        ends = torch.arange(0, (bags + 1) * length, length, dtype=torch.int32)
        matrix = csc_array(
            (weights.flatten().numpy(), place.flatten().numpy(), ends.numpy()),
            shape=(len(self.rows), bags),
        )
        bordered = torch.from_numpy(matrix @ grad.reshape(bags, -1).numpy())
        bordered = bordered.view(-1, grad.shape[1])
        values = grad.new_empty((sum(h * w for h, w in self.sizes), grad.shape[1]))
        for inside, level in self._inside(bordered, values):
            level.copy_(inside)
        return values

    def _inside(self, bordered: Tensor, values: Tensor) -> Iterator[tuple]:
        """Each level within its border and without one, both ``(h, w, C)``."""
        levels = values.split([height * width for height, width in self.sizes])
        for (height, width), start, level in zip(self.sizes, self.starts, levels):
            places = bordered[start : start + (height + 3) * (width + 3)]
            inside = places.view(height + 3, width + 3, -1)[1 : height + 1, 1 : width + 1]
            yield inside, level.view(height, width, -1)


class _SampledSums(torch.autograd.Function):
    """Sums of samples of one picture; places and weights are found again for the gradient."""

    @staticmethod
    def forward(
        ctx: object,
        values: Tensor,
        x: Tensor,
        y: Tensor,
        attention: Tensor,
        sizes: list,
        num_points: int,
    ) -> Tensor:
        ctx.save_for_backward(values, x, y, attention)
        ctx.layout = (sizes, attention.shape[1], num_points)
        rows = BorderedRows(values, *ctx.layout)
        sums = values.new_empty((len(attention), values.shape[1]))
        for chunk in _chunks(len(attention)):
            sums[chunk] = rows.sums((x[chunk], y[chunk]), attention[chunk])
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: object, grad: Tensor) -> tuple:
        values, *samples = ctx.saved_tensors
        rows = BorderedRows(values, *ctx.layout)
        num_queries, num_heads, length = samples[0].shape
        grads = [torch.empty_like(tensor) for tensor in samples]
        places = torch.empty((num_queries, num_heads, 4 * length), dtype=torch.int32)
        weights = values.new_empty(places.shape)
        for chunk in _chunks(num_queries):
            some = [tensor[chunk].detach().requires_grad_() for tensor in samples]
            with torch.enable_grad():
                place, weight = rows.bags(some[:2], some[2])
                sums = _sum_bags(place, rows.rows, weight)
            parts = torch.autograd.grad(sums, some, grad[chunk].reshape(sums.shape))
            for whole, part in zip(grads, parts):
                whole[chunk] = part
            places[chunk] = place.view_as(places[chunk])
            weights[chunk] = weight.detach().view_as(weights[chunk])
        grad_values = rows.gradient(places.flatten(0, 1), weights.flatten(0, 1), grad)
        return grad_values, *grads, None, None


def _sum_bags(place: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    return F.embedding_bag(place, rows, per_sample_weights=weights, mode='sum')


class BagDeformableAttention(MultiScaleDeformableAttention):
    """Deformable attention that sums bags of rows on the CPU.

    There it replaces mmcv's fallback, which holds every sample. Other devices
    take mmcv's own way.
    """

    def forward(
        self,
        query: Tensor,
        key: Optional[Tensor] = None,
        value: Optional[Tensor] = None,
        identity: Optional[Tensor] = None,
        query_pos: Optional[Tensor] = None,
        key_padding_mask: Optional[Tensor] = None,
        reference_points: Optional[Tensor] = None,
        spatial_shapes: Optional[Tensor] = None,
        level_start_index: Optional[Tensor] = None,
        **kwargs,
    ) -> Tensor:
        """Attend, with the arguments and the result of mmcv's module."""
        if not self.sums_bags(query, reference_points):
            return super().forward(
                query,
                key=key,
                value=value,
                identity=identity,
                query_pos=query_pos,
                key_padding_mask=key_padding_mask,
                reference_points=reference_points,
                spatial_shapes=spatial_shapes,
                level_start_index=level_start_index,
                **kwargs,
            )
        values = self.project(query if value is None else value, key_padding_mask)
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        sizes = spatial_shapes.tolist()
        sums = []
        for tokens, reference, value in zip(query, reference_points, values):
            (x, y), attention = self.samples(tokens, reference, sizes)
            sums.append(_SampledSums.apply(value, x, y, attention, sizes, self.num_points))
        return self.dropout(self.output_proj(torch.stack(sums))) + identity

    def sums_bags(self, query: Tensor, reference_points: Optional[Tensor]) -> bool:
        """Whether this way knows the device and the kind of reference points."""
        on_points = reference_points is not None and reference_points.shape[-1] == 2
        return query.device.type == 'cpu' and on_points and self.batch_first

    def project(self, value: Tensor, padding_mask: Optional[Tensor]) -> Tensor:
        """Project values ``(..., C)``; those where bool ``(...)`` is True become 0."""
        values = self.value_proj(value)
        if padding_mask is not None and padding_mask.any():
            values = values.masked_fill(padding_mask[..., None], 0.0)
        return values

    def samples(self, query: Tensor, reference_points: Tensor, sizes: list) -> tuple:
        """Tell where some queries of one picture sample, and how much each sample weighs.

        Args:
            query: ``(N, C)``, positions added.
            reference_points: ``(N, levels, 2)`` as (x, y) in 0..1.
            sizes: Height and width of each level.

        Returns:
            Points and attention as :meth:`BorderedRows.bags` takes them.
        """
        samples = self.num_levels * self.num_points
        logits = self.attention_weights(query).view(-1, self.num_heads, samples)
        # PyTorch's softmax is slow over so few values
        exponentials = (logits - logits.detach().amax(dim=-1, keepdim=True)).exp()
        attention = exponentials / exponentials.sum(dim=-1, keepdim=True)
        offsets = self.sampling_offsets(query).view(-1, self.num_heads, samples, 2)
        points = []
        for axis, size in enumerate(zip(*(size[::-1] for size in sizes))):
            # offsets are in cells of the level; centres of cells lie at halves
            centres = reference_points[..., axis] * reference_points.new_tensor(size) - 0.5
            centres = centres.repeat_interleave(self.num_points, dim=1)
            points.append(offsets[..., axis] + centres[:, None])
        return points, attention


class ChunkedEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """Layer of the pixel decoder that takes some tokens at a time in testing on a CPU.

    Once the values are projected, tokens are independent of each other up to the
    end of the layer, so what a few of them need stays in the cache.
    """

    def forward(
        self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor, **kwargs
    ) -> Tensor:
        """Encode tokens ``(B, K, C)``, with the arguments and the result of mmdet's layer."""
        attention, reference = self.self_attn, kwargs['reference_points']
        if torch.is_grad_enabled() or not attention.sums_bags(query, reference):
            return super().forward(query, query_pos, key_padding_mask, **kwargs)
        sizes = kwargs['spatial_shapes'].tolist()
        encoded = torch.empty_like(query)
        for b, tokens in enumerate(query):
            values = attention.project(tokens, key_padding_mask[b])
            rows = BorderedRows(values, sizes, attention.num_heads, attention.num_points)
            for chunk in _chunks(len(tokens)):
                some = tokens[chunk]
                samples = attention.samples(some + query_pos[b, chunk], reference[b, chunk], sizes)
                some = attention.dropout(attention.output_proj(rows.sums(*samples))) + some
                encoded[b, chunk] = self.norms[1](self.ffn(self.norms[0](some)))
        return encoded


class ChannelsFirstEncoder(Mask2FormerTransformerEncoder):
    """Encoder of the pixel decoder whose result lies in memory as feature maps do.

    The maps of the levels are then cut out of it without copies, and resized
    without a change of their layout.
    """

    def forward(self, query: Tensor, **kwargs) -> Tensor:
        """Encode tokens ``(B, K, C)``, with the arguments and the result of mmdet's encoder."""
        return super().forward(query, **kwargs).transpose(1, 2).contiguous().transpose(1, 2)


def _chunks(length: int) -> Iterator[slice]:
    for start in range(0, length, QUERY_CHUNK):
        yield slice(start, min(start + QUERY_CHUNK, length))
