"""Weighted sums of bilinear samples on the CPU, without ever holding the samples.

A bilinear sample is a weighted sum of four neighbouring rows of the values, so what a
query and head of deformable attention gathers is a weighted sum of
``4 * levels * points`` rows. :func:`torch.nn.functional.embedding_bag` sums rows of given
indices and weights, and the gradient of the values is the product with a sparse matrix
of the same indices and weights.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from scipy.sparse import csc_array
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

# queries that are worked on at a time, so that what they need stays in the cache
QUERY_CHUNK = 1024

Sizes = Sequence[tuple[int, int]]


class Samples(NamedTuple):
    """Where queries sample the values, and how much each sample weighs.

    Attributes:
        x: Cells of the level, 0 at the centre of the first, float32
            ``(..., heads, levels * points)``.
        y: The same along the other axis.
        attention: Weights, which add up to 1 for each head, of the same shape.
    """

    x: Tensor
    y: Tensor
    attention: Tensor

    def of(self, queries: slice) -> 'Samples':
        """Samples of some queries."""
        return Samples(*(tensor[queries] for tensor in self))


class WeightedRows(NamedTuple):
    """Rows of the values that the samples of each query and head add up.

    Attributes:
        row: Numbers of rows, int32 ``(N * heads, 4 * levels * points)``.
        weight: Their weights, of the same shape.
    """

    row: Tensor
    weight: Tensor


class PaddedRows:
    """Values of one image as rows, every level inside a border of zeros.

    Points outside of a level then need no care: they are clamped onto the border.

    Args:
        values: ``(K, C)``, the cells of all levels one after the other.
        sizes: Height and width of each level.
        num_heads: Heads; each cell has a row of ``C / heads`` values for each.
        num_points: Points of each level that a head samples.

    Attributes:
        rows: ``(cells with borders * heads, C / heads)``.
    """

    def __init__(self, values: Tensor, sizes: Sizes, num_heads: int, num_points: int) -> None:
        self.sizes = sizes
        self.starts, count = [], 0
        for height, width in sizes:
            self.starts.append(count)
            count += (height + 3) * (width + 3)
        padded = values.new_zeros((count, values.shape[1]))
        for inside, level in self._levels(padded, values):
            inside.copy_(level)
        self.rows = padded.view(count * num_heads, -1)

        def of_samples(numbers: Sequence[int], dtype: torch.dtype) -> Tensor:
            """One number for each level, repeated for its points and for each head."""
            of_points = torch.tensor(numbers, dtype=dtype).repeat_interleave(num_points)
            return of_points.repeat(num_heads, 1)

        heads = torch.arange(num_heads, dtype=torch.int32)[:, None]
        down = [num_heads * (width + 3) for _, width in sizes]
        origin = [num_heads * (start + 1) + step for start, step in zip(self.starts, down)]
        self._right = num_heads
        self._down = of_samples(down, torch.int32)
        self._origin = of_samples(origin, torch.int32) + heads
        # of the points, whatever the precision of the values
        self._limits = [of_samples(axis, torch.float32) for axis in zip(*sizes)]
        self._first = torch.tensor(-1.0)

    def around(self, samples: Samples) -> WeightedRows:
        """Find the rows around the points of N queries; the weights can be differentiated."""
        y_limit, x_limit = self._limits
        x, right = self._cell(samples.x, x_limit)
        y, below = self._cell(samples.y, y_limit)
        top = (y * self._down).add_(x, alpha=self._right).add_(self._origin)
        bottom = top + self._down
        row = [top, top + self._right, bottom, bottom + self._right]
        below = samples.attention * below
        above = samples.attention - below
        above_right, below_right = above * right, below * right
        weight = [above - above_right, above_right, below - below_right, below_right]
        return WeightedRows(*(torch.cat(parts, dim=-1).flatten(0, 1) for parts in (row, weight)))

    def _cell(self, points: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        """Cell at or below each point along one axis, int32, and how far the point is beyond it."""
        points = torch.clamp(points, self._first, limit)
        low = points.detach().floor()
        # not a number becomes the least integer
        return low.int().clamp_(min=-1), points - low

    def sums(self, samples: Samples) -> Tensor:
        """Add up the samples of N queries, ``(N, C)``."""
        return self.sums_of(self.around(samples)).view(len(samples.x), -1)

    def sums_of(self, chosen: WeightedRows) -> Tensor:
        """Add up weighted rows, ``(N * heads, C / heads)``."""
        weight = chosen.weight.to(self.rows.dtype)
        return F.embedding_bag(chosen.row, self.rows, per_sample_weights=weight, mode='sum')

    def gradient(self, chosen: WeightedRows, grad: Tensor) -> Tensor:
        """Gradient of the values ``(K, C)`` from that of the sums ``(N, C)``."""
        count, length = chosen.row.shape
        ends = torch.arange(0, (count + 1) * length, length, dtype=torch.int32)
        matrix = csc_array(
            (chosen.weight.flatten().numpy(), chosen.row.flatten().numpy(), ends.numpy()),
            shape=(len(self.rows), count),
        )
        padded = torch.from_numpy(matrix @ grad.reshape(count, -1).numpy())
        padded = padded.view(-1, grad.shape[1])
        values = grad.new_empty((sum(h * w for h, w in self.sizes), grad.shape[1]))
        for inside, level in self._levels(padded, values):
            level.copy_(inside)
        return values

    def _levels(self, padded: Tensor, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Each level within its border and without one, both ``(h, w, C)``."""
        levels = values.split([height * width for height, width in self.sizes])
        for (height, width), start, level in zip(self.sizes, self.starts, levels):
            cells = padded[start : start + (height + 3) * (width + 3)]
            inside = cells.view(height + 3, width + 3, -1)[1 : height + 1, 1 : width + 1]
            yield inside, level.view(height, width, -1)


class SampledSums(torch.autograd.Function):
    """Sums of the samples of one image; rows and weights are found again for the gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        x: Tensor,
        y: Tensor,
        attention: Tensor,
        sizes: Sizes,
        num_points: int,
    ) -> Tensor:
        """Add up :class:`Samples` of N queries from values ``(K, C)``, to ``(N, C)``."""
        ctx.save_for_backward(values, x, y, attention)
        ctx.layout = (sizes, attention.shape[1], num_points)
        rows, samples = PaddedRows(values, *ctx.layout), Samples(x, y, attention)
        sums = values.new_empty((len(attention), values.shape[1]))
        for chunk in query_chunks(len(attention)):
            sums[chunk] = rows.sums(samples.of(chunk))
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Gradients of values, points and attention from that of the sums ``(N, C)``."""
        values, *saved = ctx.saved_tensors
        rows, samples = PaddedRows(values, *ctx.layout), Samples(*saved)
        # PyTorch 2.1 gives the weights a gradient only where the rows ask for one too
        rows.rows.requires_grad_()
        num_queries, num_heads, length = samples.x.shape
        grads = Samples(*(torch.empty_like(tensor) for tensor in saved))
        row = torch.empty((num_queries, num_heads, 4 * length), dtype=torch.int32)
        weight = values.new_empty(row.shape)
        for chunk in query_chunks(num_queries):
            some = Samples(*(tensor[chunk].detach().requires_grad_() for tensor in saved))
            with torch.enable_grad():
                chosen = rows.around(some)
                sums = rows.sums_of(chosen)
            parts = torch.autograd.grad(sums, some, grad[chunk].reshape(sums.shape))
            for whole, part in zip(grads, parts):
                whole[chunk] = part
            row[chunk] = chosen.row.view_as(row[chunk])
            weight[chunk] = chosen.weight.detach().view_as(weight[chunk])
        chosen = WeightedRows(row.flatten(0, 1), weight.flatten(0, 1))
        return rows.gradient(chosen, grad), *grads, None, None


def query_chunks(num_queries: int) -> Iterator[slice]:
    """Cut queries into chunks whose work fits into the cache."""
    for start in range(0, num_queries, QUERY_CHUNK):
        yield slice(start, min(start + QUERY_CHUNK, num_queries))
