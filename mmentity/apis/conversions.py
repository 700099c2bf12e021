"""Entities as the objects of other packages, which need not be installed."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import fiftyone
    import supervision


class Table(NamedTuple):
    """The rows of a result.

    Attributes:
        boxes_xyxy_px: int64 ``(K, 4)``, right and bottom exclusive.
        scores: float32 ``(K,)``, 0..1.
        labels: int64 ``(K,)``.
        names: Name of the class of each row.
    """

    boxes_xyxy_px: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: list[str]


def supervision_detections(table: Table, masks: np.ndarray) -> 'supervision.Detections':
    """Build supervision's ``Detections``.

    Args:
        table: Rows of the entities.
        masks: bool ``(K, H, W)``.

    Raises:
        ImportError: If supervision is not installed.
    """
    detections = _optional('supervision', 'to_supervision').Detections
    return detections(
        xyxy=table.boxes_xyxy_px.astype(np.float32),
        mask=masks,
        confidence=table.scores,
        class_id=table.labels,
        data={'class_name': np.array(table.names, dtype=str)},
    )


def fiftyone_detections(
    table: Table, masks: Sequence[np.ndarray], height: int, width: int
) -> 'fiftyone.Detections':
    """Build FiftyOne's ``Detections``; its database is not asked for.

    Args:
        table: Rows of the entities.
        masks: Pixels of each entity inside its box, bool ``(h, w)``.
        height: Height of the image in px.
        width: Width of the image in px.

    Raises:
        ImportError: If FiftyOne is not installed.
    """
    fiftyone = _optional('fiftyone', 'to_fiftyone')
    boxes = relative_boxes(table.boxes_xyxy_px, height, width)
    rows = zip(table.names, boxes.tolist(), masks, table.scores.tolist())
    return fiftyone.Detections(
        detections=[
            fiftyone.Detection(
                label=name, bounding_box=box, mask=mask, confidence=score, index=number
            )
            for number, (name, box, mask, score) in enumerate(rows, start=1)
        ]
    )


def relative_boxes(boxes_xyxy_px: np.ndarray, height: int, width: int) -> np.ndarray:
    """Divide boxes by the size of the image, so that FiftyOne finds the very pixels.

    It rounds down, so that a quotient that is not exact would be one pixel less. Boxes
    are moved by a millionth of a pixel, and end where the image ends at most.

    Args:
        boxes_xyxy_px: int ``(K, 4)``, right and bottom exclusive.
        height: Height of the image in px.
        width: Width of the image in px.

    Returns:
        float64 ``(K, 4)``: left, top, width and height, 0..1.
    """
    size = np.array([width, height])
    start = (boxes_xyxy_px[:, :2] + 1e-6) / size
    end = np.minimum((boxes_xyxy_px[:, 2:] + 1e-6) / size, 1.0)
    extent = end - start
    extent = np.where(start + extent < end, np.nextafter(extent, 1), extent)
    return np.concatenate([start, extent], axis=1)


def _optional(package: str, method: str) -> Any:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(
            f'{method}() needs {package}, which is not there; run: pip install {package}'
        ) from error
    except KeyError as error:
        # FiftyOne reads its own metadata in a way that importlib_metadata, which mmpretrain
        # imports, has given up
        raise ImportError(
            f'{package} cannot be imported any more ({error!r}); import it before mmentity'
        ) from error
