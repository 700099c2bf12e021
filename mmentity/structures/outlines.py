"""Outlines of masks along the borders of their pixels."""

from typing import NamedTuple

import numpy as np

Point = tuple[int, int]


def outlines(mask: np.ndarray) -> list[list[Point]]:
    """Trace the borders of a mask, one closed outline for each connected part.

    Parts are those of pixels that share an edge. Outlines run clockwise along the
    borders of pixels, so they bound exactly the mask. COCO's polygons know no holes:
    the border of a hole is walked the other way round, and joined to the border above it
    by a line that is walked there and back, which bounds nothing.

    Args:
        mask: bool ``(H, W)``.

    Returns:
        Corners ``(x, y)`` of each outline in px, pixel 0 from 0 to 1; none for an
        empty mask.

    Examples:
        >>> outlines(np.array([[0, 1, 1]], dtype=bool))
        [[(1, 0), (3, 0), (3, 1), (1, 1)]]
    """
    corners = _corners(mask)
    # holes by the corner whose edge to the right they are joined to; from below, so that what
    # is joined to a hole is there when the hole is walked
    joined: dict[int, list[tuple[int, list[Point]]]] = {}
    walked = []
    for ring in reversed(_rings(corners)):
        first = ring[0]
        x, y = int(corners.x[first]), int(corners.y[first])
        if mask[y, x]:
            walked.append(_walk(ring, corners, joined))
            continue
        around = _walk(ring[::-1], corners, joined)
        edge = corners.left_end(x, _end_above(mask, x, y))
        joined.setdefault(edge, []).append((x, around))
    return walked[::-1]


class _Corners(NamedTuple):
    """Points where the border of a mask turns, in reading order; two where it touches itself.

    Attributes:
        x: int64 ``(N,)``.
        y: int64 ``(N,)``, ascending.
        below: Corner at the other end of the vertical edge of each, int64 ``(N,)``.
        width: Width of the mask.
    """

    x: np.ndarray
    y: np.ndarray
    below: np.ndarray
    width: int

    def left_end(self, x: int, y: int) -> int:
        """Return the corner at the left end of the horizontal edge that runs right from a point."""
        keys = self.y * (self.width + 1) + self.x
        place = int(np.searchsorted(keys, y * (self.width + 1) + x, side='right')) - 1
        # edges join each corner of even number with the next one
        return place - place % 2


def _corners(mask: np.ndarray) -> _Corners:
    padded = np.pad(mask, 1)
    upper = padded[:-1, :-1] != padded[:-1, 1:]  # a vertical edge above the point
    lower = padded[1:, :-1] != padded[1:, 1:]
    left = padded[:-1, :-1] != padded[1:, :-1]
    crossing = upper & lower & left & (padded[:-1, :-1] != padded[:-1, 1:])
    turning = (upper != lower) | crossing
    # a point where two parts touch is a corner of each
    y, x = np.nonzero(turning)
    twice = crossing[y, x]
    repeated = np.repeat(np.arange(len(x)), twice + 1)
    y, x, twice = y[repeated], x[repeated], twice[repeated]
    second = np.append(False, repeated[1:] == repeated[:-1])
    # the edge to the left belongs to the first of the two corners; it goes on upwards where the
    # part is to the upper left, else downwards, so that parts that only touch stay apart
    lies_low = second ^ (twice & ~padded[y, x])
    order = np.lexsort((lies_low, y, x))
    below = np.empty_like(order)
    below[order[0::2]], below[order[1::2]] = order[1::2], order[0::2]
    return _Corners(x, y, below, mask.shape[1])


def _rings(corners: _Corners) -> list[list[int]]:
    """Follow the edges from corner to corner: rings, each from its first corner to the right."""
    below = corners.below.tolist()
    seen = bytearray(len(below))
    rings = []
    for start in range(0, len(below), 2):
        if seen[start]:
            continue
        ring: list[int] = []
        corner = start
        while not seen[corner]:
            other = corner ^ 1
            seen[corner] = seen[other] = 1
            ring += (corner, other)
            corner = below[other]
        rings.append(ring)
    return rings


def _walk(
    ring: list[int], corners: _Corners, joined: dict[int, list[tuple[int, list[Point]]]]
) -> list[Point]:
    """Return the points of a ring, with the holes that are joined to its horizontal edges."""
    points: list[Point] = []
    xs, ys = corners.x[ring].tolist(), corners.y[ring].tolist()
    for k in range(0, len(ring), 2):
        path = [(xs[k], ys[k])]
        rightwards = xs[k] < xs[k + 1]
        left = min(ring[k], ring[k + 1])
        for x, hole in sorted(joined.pop(left, ()), reverse=not rightwards):
            # a hole ends at the lower end of the line that joins it
            path += [(x, ys[k]), hole[-1], *hole, (x, ys[k])]
        path.append((xs[k + 1], ys[k + 1]))
        # a line that joins a hole may start at a corner
        points += (point for point, last in zip(path, [None, *path]) if point != last)
    return points


def _end_above(mask: np.ndarray, x: int, y: int) -> int:
    """Return where the mask ends above a point of its lower border."""
    background = np.flatnonzero(~mask[:y, x][::-1])
    return y - int(background[0]) if len(background) else 0
