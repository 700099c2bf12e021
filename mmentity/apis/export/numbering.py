"""Which entities are written, and under which ids."""

from typing import NamedTuple

import numpy as np

from mmentity.apis.export.options import OutputOptions
from mmentity.apis.result import EntityResult

DTYPES = {'uint8': np.uint8, 'uint16': np.uint16}


class Numbered(NamedTuple):
    """The entities of one picture as they are written.

    Attributes:
        result: Kept entities, in the order of their ids.
        ids: Id of each of them, int32 ``(K,)``, ascending.
    """

    result: EntityResult
    ids: np.ndarray

    def id_map(self, dtype: type) -> np.ndarray:
        """Return ids of the pixels ``(H, W)``, 0 = no entity."""
        return self.result.entities.renumber(self.ids.astype(dtype))[0]


def number_entities(result: EntityResult, options: OutputOptions) -> Numbered:
    """Filter, order and number the entities of a picture.

    Args:
        result: All that the model predicted.
        options: Size, thresholds, order and kind of ids.
    """
    if options.size is not None:
        result = result.resize(*options.size)
    result = result.ordered(options.order, options.reverse)
    keep = result.keep(options.score_thr, options.min_area)
    ids = np.flatnonzero(keep) + 1
    kept = result.select(options.score_thr, options.min_area)
    if options.ids == 'dense':
        ids = np.arange(1, len(kept) + 1)
    return Numbered(kept, ids.astype(np.int32))


def map_dtype(numbered: Numbered, id_dtype: str) -> type:
    """Choose the type of an id map.

    Raises:
        ValueError: If the ids do not fit; they are never wrapped around.
    """
    largest = int(numbered.ids.max(initial=0))
    if id_dtype == 'auto':
        id_dtype = 'uint8' if largest <= 255 else 'uint16'
    limit = np.iinfo(DTYPES[id_dtype]).max
    if largest > limit:
        mend = 'write uint16 (--id-dtype uint16), or ' if id_dtype == 'uint8' else ''
        raise ValueError(
            f'{numbered.result.name} has ids up to {largest}, {id_dtype} holds {limit}; {mend}keep '
            'fewer entities (a higher --score-thr or --min-area)'
        )
    return DTYPES[id_dtype]
