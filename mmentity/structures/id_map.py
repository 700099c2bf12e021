"""Images whose values are ids of entities, and COCO's colours of panoptic ids."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

ID_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L')


def read_id_map(image: Image.Image, kind: str = 'auto') -> np.ndarray:
    """Read the ids of an opened map.

    Args:
        image: PNG or another lossless image.
        kind: ``'ids'``: 8 or 16 bit values, or indices of a palette; ``'colours'``:
            COCO panoptic, id = R + 256 G + 65536 B; ``'auto'``: what the mode of
            the image suggests.

    Returns:
        int32 ``(H, W)``, at least 0.

    Raises:
        ValueError: If the image is of another kind.

    Examples:
        >>> read_id_map(Image.new('RGB', (2, 1), (3, 1, 0))).tolist()
        [[259, 259]]
    """
    if image.format in ('JPEG', 'MPO', 'WEBP'):
        raise ValueError(f'the map is a {image.format}, which does not keep ids; save maps as PNG')
    if kind == 'colours' or (kind == 'auto' and image.mode in ('RGB', 'RGBA')):
        return ids_of_colours(np.asarray(image.convert('RGB')))
    if kind not in ('ids', 'auto'):
        raise ValueError(f"the kind of map is {kind!r}; it must be 'auto', 'ids' or 'colours'")
    if image.mode not in ID_MODES:
        raise ValueError(
            f'the map is of mode {image.mode}; save it as 8 or 16 bit grey, palette or RGB PNG'
        )
    return np.asarray(image).astype(np.int32)


def entity_ids(values: np.ndarray, no_entity_ids: Sequence[int] = ()) -> np.ndarray:
    """List the ids in a map that are entities, ascending: all but 0 and ``no_entity_ids``."""
    # values come in runs, of which there are far fewer to sort than pixels
    flat = np.ravel(values)
    starts = np.append(True, flat[1:] != flat[:-1])[: flat.size]
    return np.setdiff1d(flat[starts], [0, *no_entity_ids])


def ids_of_colours(colours: np.ndarray) -> np.ndarray:
    """Decode COCO panoptic colours, uint8 RGB ``(H, W, 3)``, to ids int32 ``(H, W)``."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return red + 256 * green + 65536 * blue


def colours_of_ids(ids: np.ndarray) -> np.ndarray:
    """Encode ids ``(H, W)`` as COCO panoptic colours, uint8 RGB ``(H, W, 3)``."""
    ids = np.asarray(ids)
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
