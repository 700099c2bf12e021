"""PNGs whose values are ids of entities, in the three usual kinds."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

ID_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L')


def read_id_map(picture: Image.Image, kind: str = 'auto') -> np.ndarray:
    """Read the ids of an opened map.

    Args:
        picture: PNG or another lossless picture.
        kind: ``'ids'``: 8 or 16 bit values, or places in a palette; ``'colours'``:
            COCO panoptic, id = R + 256 G + 65536 B; ``'auto'``: what the kind of
            the picture suggests.

    Returns:
        int64 ``(H, W)``, at least 0.

    Raises:
        ValueError: If the picture is of another kind.

    Examples:
        >>> read_id_map(Image.new('RGB', (2, 1), (3, 1, 0))).tolist()
        [[259, 259]]
    """
    if picture.format in ('JPEG', 'MPO', 'WEBP'):
        raise ValueError(
            f'the map is a {picture.format}, which does not keep ids; save maps as PNG'
        )
    if kind == 'colours' or (kind == 'auto' and picture.mode in ('RGB', 'RGBA')):
        return np.asarray(picture.convert('RGB')).astype(np.int64) @ np.array([1, 256, 65536])
    if kind not in ('ids', 'auto'):
        raise ValueError(f"the kind of map is {kind!r}; it must be 'auto', 'ids' or 'colours'")
    if picture.mode not in ID_MODES:
        raise ValueError(
            f'the map is of mode {picture.mode}; save it as 8 or 16 bit grey, palette or RGB PNG'
        )
    return np.asarray(picture).astype(np.int64)


def entity_ids(values: np.ndarray, no_entity_ids: Sequence[int] = ()) -> np.ndarray:
    """Ids in a map that are entities, ascending: all but 0 and ``no_entity_ids``."""
    return np.setdiff1d(values, [0, *no_entity_ids])


def colours_of_ids(ids: np.ndarray) -> np.ndarray:
    """Make COCO panoptic colours, uint8 RGB ``(H, W, 3)``, of ids ``(H, W)``."""
    ids = np.asarray(ids)
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
