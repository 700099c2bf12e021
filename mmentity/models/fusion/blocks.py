"""Probabilities of masks in many blocks of a picture at once."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mmentity.models.fusion.geometry import Axis, Blocks, ViewGeometry


class _Band(NamedTuple):
    """Resizing of the blocks along one axis of one view.

    Attributes:
        cells: Low-res cells that each block takes, int64 ``(N, k)``.
        weights: Their weights at each pixel of the block, ``(N, side, k)``.
    """

    cells: Tensor
    weights: Tensor


class BlockProbs:
    """Masks resized to blocks, by two products of small matrices for each block and view.

    Blocks that are smaller than the largest repeat their last row or column, so
    that all have the same shape.

    Args:
        mask_logits: float32 ``(Q, V, h, w)``.
        geometry: Where the views lie in the picture.
        blocks: The blocks of the picture.

    Attributes:
        pixels: Rows and columns of the picture that each row and column of blocks
            takes, int64 ``(N, side)`` both.
        own: 1 where that is a pixel of the block and 0 where it is repeated,
            float32 ``(N, side)`` both.
    """

    def __init__(self, mask_logits: Tensor, geometry: ViewGeometry, blocks: Blocks) -> None:
        self.mask_logits = mask_logits
        device = mask_logits.device
        edges = [torch.tensor(ends, device=device) for ends in (blocks.rows, blocks.columns)]
        self.pixels, self.own = zip(*map(_pixels_of, edges))
        axes = list(zip(geometry.rows, geometry.columns))
        self._bands = [tuple(map(_band, pair, self.pixels)) for pair in axes]
        self._covered = [
            tuple(
                (ends[:-1] >= axis.start) & (ends[1:] <= axis.stop)
                for axis, ends in zip(pair, edges)
            )
            for pair in axes
        ]

    def groups(self, chosen: Tensor) -> Iterator[tuple]:
        """Put blocks together that the same views cover.

        Args:
            chosen: Which blocks, bool ``(rows, columns)``.

        Yields:
            Numbers of the views, and row and column of each block, int64 ``(N,)``.
        """
        signature = sum(
            (rows[:, None] & columns).long() << view
            for view, (rows, columns) in enumerate(self._covered)
        )
        for value in signature[chosen].unique().tolist():
            views = [view for view in range(len(self._covered)) if value >> view & 1]
            yield views, *torch.nonzero(chosen & (signature == value)).unbind(dim=1)

    def probs(self, queries: Tensor, rows: Tensor, columns: Tensor, views: list) -> Tensor:
        """Average the probability of one mask in each block over the views that cover it.

        Args:
            queries: Number of the mask for each block, int64 ``(N,)``.
            rows: Row of each block, int64 ``(N,)``.
            columns: Column of each block, int64 ``(N,)``.
            views: Numbers of the views.

        Returns:
            float32 ``(N, side, side)``.
        """
        total = 0
        for view in views:
            down, across = self._bands[view]
            logits = self.mask_logits[:, view][
                queries[:, None, None],
                down.cells[rows][:, :, None],
                across.cells[columns][:, None],
            ]
            logits = down.weights[rows] @ logits @ across.weights[columns].mT
            total = logits.sigmoid_().add_(total)
        return total.div_(len(views))


def _pixels_of(edges: Tensor) -> tuple:
    """Pixels between edges, the last repeated, and whether they are not, both ``(N, side)``."""
    offsets = torch.arange(int(edges.diff().max()), device=edges.device)
    pixels = edges[:-1, None] + offsets
    last = edges[1:, None] - 1
    return torch.minimum(pixels, last), (pixels <= last).float()


def _band(axis: Axis, pixels: Tensor) -> _Band:
    """Cut the matrix of an axis into the narrow ones of blocks; those outside are not used."""
    places = (pixels - axis.start).clamp(0, len(axis.matrix) - 1)
    first, past = (torch.tensor(cells, device=pixels.device) for cells in axis.cells)
    first, past = first[places[:, 0]], past[places[:, -1]]
    length = int((past - first).max())
    first = first.clamp(max=axis.matrix.shape[1] - length)
    cells = first[:, None] + torch.arange(length, device=pixels.device)
    return _Band(cells, axis.matrix[places[:, :, None], cells[:, None]])
