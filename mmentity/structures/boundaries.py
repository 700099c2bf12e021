"""Boundary bands of all entities of a map at once."""

from typing import NamedTuple

import numpy as np

from mmentity.structures.entity_map import EntityMap, count_pairs

DILATION_RATIO = 0.02
STRIP_ROWS = 256
WORD = 64


def boundary_distance(height: int, width: int) -> int:
    """Return the width of boundary bands in px: 2 % of the diagonal, at least 1.

    It is that of Boundary IoU (Cheng et al., CVPR 2021) on COCO.

    Args:
        height: Height of the image, px.
        width: Width of the image, px.
    """
    return max(1, round(DILATION_RATIO * float(np.hypot(height, width))))


def boundary_band(ids: np.ndarray, distance: int) -> np.ndarray:
    """Find the pixels near another value, of all values at once.

    A pixel is in the band unless the square of ``2 * distance + 1`` px around it lies in the
    image and holds one value. So the band of a value is what erosion with that square takes
    from its mask, the outside of the image not being of the mask. Borders between pixels are
    bits, 64 to a word, which a few shifts spread over the square: ``O(HW log(distance) / 64)``
    after the comparison of neighbours.

    Args:
        ids: Integers or bool ``(H, W)``.
        distance: Width of the band, px, at least 1.

    Returns:
        bool ``(H, W)``.

    Examples:
        >>> boundary_band(np.ones((3, 4), int), 1).astype(int).tolist()
        [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    if ids.strides[0] < ids.strides[1]:
        return boundary_band(ids.T, distance).T
    height, width = ids.shape
    band = np.ones((height, width), dtype=bool)
    reach = 2 * distance
    if height <= reach or width <= reach:
        return band
    across, down = _borders(ids)
    # each bit stands for the pixel ``distance`` further right, later each row for that further down
    near = _any_of_bits(across.ravel(), reach).reshape(across.shape)
    under = _earlier(down.ravel(), distance).reshape(down.shape)
    near = _any_of_rows(near[1:] | near[:-1] | under, reach)
    inner = band[distance : height - distance, distance : width - distance]
    bits = np.unpackbits(near.view(np.uint8), axis=1, count=inner.shape[1], bitorder='little')
    inner[...] = bits
    return band


class BandMap(NamedTuple):
    """Entities whose pixels are divided into the inside and the boundary band.

    Attributes:
        halves: Integers ``(L, H, W)``, 2k for the inside of entity k and 2k + 1 for its band.
        num_entities: Number of entities K.
    """

    halves: np.ndarray
    num_entities: int

    @classmethod
    def of(cls, entities: EntityMap, distance: int) -> 'BandMap':
        """Divide the entities of a map.

        Each entity is in one layer, so the bands of entities that overlap are exact too.

        Args:
            entities: Map of K entities.
            distance: Width of the band, px.
        """
        # few bytes for each pixel, for whose neighbours are compared
        narrow = np.min_scalar_type(2 * entities.num_entities + 1)
        halves = entities.ids.astype(narrow)
        halves *= 2
        for layer in halves:
            layer += boundary_band(layer, distance)
        return cls(halves, entities.num_entities)

    @property
    def pixels(self) -> np.ndarray:
        """Pixels inside and in the band of each entity, int64 ``(K, 2)``."""
        counts = np.bincount(self.halves.ravel(), minlength=2 * self.num_entities + 2)
        return counts.reshape(-1, 2)[1:]

    def joint_histogram(self, other: 'BandMap') -> np.ndarray:
        """Count the pixels of each pair of values, no entity included.

        Returns:
            int64 ``(K + 1, 2, other.K + 1, 2)``; of each 2, inside and band.

        Raises:
            ValueError: If the maps differ in size.
        """
        shape = (self.num_entities + 1, 2, other.num_entities + 1, 2)
        pairs = count_pairs(self.halves, other.halves, (2 * shape[0], 2 * shape[2]))
        return pairs.reshape(shape)


def _borders(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare each pixel with the next one of its row, and of its column.

    Returns:
        Bits in lines of whole words, little-endian uint64: ``(H, words)`` and ``(H - 1, words)``.
    """
    height, width = ids.shape
    shape = (height, -(-width // WORD) * WORD // 8)
    across, down = np.zeros(shape, np.uint8), np.zeros((height - 1, shape[1]), np.uint8)
    for top in range(0, height, STRIP_ROWS):
        strip = ids[top : top + STRIP_ROWS]
        _pack(strip[:, 1:] != strip[:, :-1], across[top : top + STRIP_ROWS])
        below = ids[top + 1 : top + STRIP_ROWS + 1]
        _pack(below != strip[: len(below)], down[top : top + STRIP_ROWS])
    return across.view('<u8'), down.view('<u8')


def _pack(lines: np.ndarray, target: np.ndarray) -> None:
    packed = np.packbits(lines, axis=1, bitorder='little')
    target[:, : packed.shape[1]] = packed


def _any_of_bits(words: np.ndarray, number: int) -> np.ndarray:
    """Set each bit that is set itself, or has a set one among the ``number - 1`` after it."""
    done = 1
    while done < number:
        step = min(done, number - done)
        words = words | _earlier(words, step)
        done += step
    return words


def _any_of_rows(rows: np.ndarray, number: int) -> np.ndarray:
    """Join each row with the ``number - 1`` after it; that many rows fewer."""
    done = 1
    while done < number:
        step = min(done, number - done)
        rows = rows[:-step] | rows[step:]
        done += step
    return rows


def _earlier(words: np.ndarray, bits: int) -> np.ndarray:
    """Move all bits by some places towards the first."""
    skip, rest = divmod(bits, WORD)
    moved = np.zeros_like(words)
    kept = max(0, len(words) - skip)
    np.right_shift(words[skip:], np.uint64(rest), out=moved[:kept])
    if rest and kept:
        moved[: kept - 1] |= words[skip + 1 :] << np.uint64(WORD - rest)
    return moved
