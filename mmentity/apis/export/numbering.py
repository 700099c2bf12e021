"""Which entities are written, and under which ids."""

from typing import Any, NamedTuple

import numpy as np

from mmentity.apis.export.options import OutputOptions
from mmentity.apis.result import EntityResult

DTYPES: dict[str, type[np.unsignedinteger]] = {'uint8': np.uint8, 'uint16': np.uint16}


class NumberedResult(NamedTuple):
    """The entities of one image as they are written.

    Attributes:
        result: Written entities, in the order of their ids.
        ids: Id of each of them, int32 ``(K,)``, ascending.
    """

    result: EntityResult
    ids: np.ndarray

    def id_map(self, dtype: type[np.integer]) -> np.ndarray:
        """Return the ids of the pixels, ``(H, W)`` of a type, 0 = no entity."""
        return self.result.lazy_map.paint(self.ids.astype(dtype))

    def records(self) -> list[dict[str, Any]]:
        """Return :meth:`EntityResult.records` with the written ids."""
        return [
            {**record, 'id': int(number)} for record, number in zip(self.result.records(), self.ids)
        ]


def number_entities(result: EntityResult, options: OutputOptions) -> NumberedResult:
    """Filter, order and number the entities of an image; no pixel is touched.

    Args:
        result: All that the model predicted.
        options: Size, thresholds, order and kind of ids.
    """
    if options.size is not None:
        result = result.resize(*options.size)
    order = result.order(options.order, options.reverse)
    keep = result.keep(options.score_thr, options.min_area)[order]
    ids = np.flatnonzero(keep) + 1 if options.ids == 'rank' else np.arange(1, keep.sum() + 1)
    return NumberedResult(result.take(order[keep]), ids.astype(np.int32))


def choose_dtype(numbered: NumberedResult, id_dtype: str) -> type[np.unsignedinteger]:
    """Choose the type of an id map.

    Raises:
        ValueError: If the ids do not fit; they are never wrapped around.
    """
    largest = int(numbered.ids.max(initial=0))
    if id_dtype == 'auto':
        id_dtype = 'uint8' if largest <= 255 else 'uint16'
    limit = np.iinfo(DTYPES[id_dtype]).max
    if largest > limit:
        wider = 'write uint16 (--id-dtype uint16), or ' if id_dtype == 'uint8' else ''
        raise ValueError(
            f'{numbered.result.name} has ids up to {largest}, {id_dtype} holds {limit}; {wider}'
            'keep fewer entities (a higher --score-thr or --min-area)'
        )
    return DTYPES[id_dtype]
