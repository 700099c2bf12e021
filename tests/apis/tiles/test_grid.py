import numpy as np
import pytest

from mmentity.apis.tiles import TileGrid


@pytest.mark.parametrize('size', [(100, 100), (37, 64), (64, 65), (300, 211), (1000, 40)])
@pytest.mark.parametrize(('tile', 'overlap'), [(64, 16), (64, 32), (50, 1), (33, 7)])
def test_cores_are_the_image_and_neighbours_share_enough(size, tile, overlap):
    grid = TileGrid(*size, tile, overlap)
    decided = np.zeros(size, int)
    tiles = list(grid)
    assert len(tiles) == len(grid)
    for one in tiles:
        x0, y0, x1, y1 = one.core
        decided[y0:y1, x0:x1] += 1
        bx0, by0, bx1, by1 = one.box
        assert (by1 - by0, bx1 - bx0) == (min(tile, size[0]), min(tile, size[1]))
        assert 0 <= bx0 <= x0 < x1 <= bx1 <= size[1]
        assert 0 <= by0 <= y0 < y1 <= by1 <= size[0]
    assert (decided == 1).all()
    for one in tiles:
        for side, box in grid.neighbours(one).items():
            row, column = {
                'left': (0, -1), 'right': (0, 1), 'above': (-1, 0), 'below': (1, 0)
            }[side]  # fmt: skip
            other = grid.tile(one.row + row, one.column + column)
            shared = (
                *np.maximum(one.box[:2], other.box[:2]),
                *np.minimum(one.box[2:], other.box[2:]),
            )
            assert box == tuple(int(value) for value in shared)
            assert box[2] - box[0] >= min(overlap, size[1])
            assert box[3] - box[1] >= min(overlap, size[0])


def test_a_small_image_is_one_tile():
    (tile,) = TileGrid(30, 50, 64, 8)
    assert tile.box == tile.core == (0, 0, 50, 30)


@pytest.mark.parametrize(
    ('tile', 'overlap', 'message'),
    [
        (1, 1, 'a tile has 1 px a side'),
        (64, 0, 'share 0 px; it must be 1 to 32'),
        (64, 33, 'share 33 px'),
    ],
)
def test_wrong_sizes_are_named(tile, overlap, message):
    with pytest.raises(ValueError, match=message):
        TileGrid(100, 100, tile, overlap)
