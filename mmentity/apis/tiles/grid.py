"""Where the tiles of an image lie, and which tile decides about which pixel."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

# xyxy px, right and bottom exclusive
Box = tuple[int, int, int, int]
# start and stop along one axis, px
Span = tuple[int, int]


class Tile(NamedTuple):
    """One tile.

    Attributes:
        row: Its row in the grid.
        column: Its column.
        box: What the network sees, xyxy px of the image.
        core: The pixels that it decides about, inside of ``box``; the cores of all tiles
            are the image, each pixel once.
    """

    row: int
    column: int
    box: Box
    core: Box

    def crop_of(self, box: Box) -> tuple[slice, slice]:
        """Rows and columns of a map of this tile that lie in a box of the image."""
        x0, y0 = self.box[:2]
        return slice(box[1] - y0, box[3] - y0), slice(box[0] - x0, box[2] - x0)


@dataclass(frozen=True)
class TileGrid:
    """Overlapping tiles of one size, spread evenly over an image.

    An axis that is shorter than a tile has one tile, as long as the image. Neighbours share
    a strip, at least ``overlap`` px wide, and decide about a half of it each.

    Attributes:
        height: Height of the image in px.
        width: Width of the image in px.
        size: Side of a tile in px.
        overlap: Fewest px that neighbours share, at most half a tile.

    Raises:
        ValueError: If a value is out of range.

    Examples:
        >>> [tile.box for tile in TileGrid(100, 180, 100, 20)]
        [(0, 0, 100, 100), (80, 0, 180, 100)]
        >>> [tile.core for tile in TileGrid(100, 180, 100, 20)]
        [(0, 0, 90, 100), (90, 0, 180, 100)]
    """

    height: int
    width: int
    size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(f'a tile has {self.size} px a side; it must be at least 2')
        if not 1 <= self.overlap <= self.size // 2:
            raise ValueError(
                f'tiles of {self.size} px share {self.overlap} px; it must be 1 to '
                f'{self.size // 2}, half a tile, so that they can be joined'
            )

    @cached_property
    def rows(self) -> list[Span]:
        """Start and stop of each row of tiles, px."""
        return _spans(self.height, self.size, self.overlap)

    @cached_property
    def columns(self) -> list[Span]:
        """Start and stop of each column of tiles, px."""
        return _spans(self.width, self.size, self.overlap)

    @cached_property
    def core_rows(self) -> list[Span]:
        """Start and stop of the pixels that each row of tiles decides about."""
        return _cores(self.rows)

    @cached_property
    def core_columns(self) -> list[Span]:
        """Start and stop of the pixels that each column of tiles decides about."""
        return _cores(self.columns)

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Tile]:
        """Go through the tiles, row by row."""
        for row in range(len(self.rows)):
            for column in range(len(self.columns)):
                yield self.tile(row, column)

    def tile(self, row: int, column: int) -> Tile:
        """Return the tile at a place of the grid."""
        box = _box(self.rows[row], self.columns[column])
        return Tile(row, column, box, _box(self.core_rows[row], self.core_columns[column]))

    def neighbours(self, tile: Tile) -> dict[str, Box]:
        """Return what a tile shares with those beside it.

        Returns:
            For those of ``'left'``, ``'right'``, ``'above'`` and ``'below'`` that are
            there, the shared strip, xyxy px of the image.
        """
        x0, y0, x1, y1 = tile.box
        strips = {}
        if tile.column:
            strips['left'] = (x0, y0, self.columns[tile.column - 1][1], y1)
        if tile.column + 1 < len(self.columns):
            strips['right'] = (self.columns[tile.column + 1][0], y0, x1, y1)
        if tile.row:
            strips['above'] = (x0, y0, x1, self.rows[tile.row - 1][1])
        if tile.row + 1 < len(self.rows):
            strips['below'] = (x0, self.rows[tile.row + 1][0], x1, y1)
        return strips


def _spans(side: int, size: int, overlap: int) -> list[Span]:
    """Spread stretches of one length evenly over a side, with at least an overlap."""
    if side <= size:
        return [(0, side)]
    number = -(-(side - overlap) // (size - overlap))
    starts = [k * (side - size) // (number - 1) for k in range(number)]
    return [(start, start + size) for start in starts]


def _cores(spans: list[Span]) -> list[Span]:
    """Cut the overlaps of neighbours in the middle."""
    cuts = [(after[0] + before[1]) // 2 for before, after in zip(spans, spans[1:])]
    return list(zip([spans[0][0], *cuts], [*cuts, spans[-1][1]]))


def _box(rows: Span, columns: Span) -> Box:
    return columns[0], rows[0], columns[1], rows[1]
