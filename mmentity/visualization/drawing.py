"""Entity maps over images, as plain functions on arrays."""

from collections.abc import Sequence
from typing import Optional

import numpy as np
from PIL import Image, ImageDraw

from mmentity.structures import EntityMap
from mmentity.structures.palette import entity_colours
from mmentity.utils.dependencies import import_opencv
from mmentity.visualization.labels import draw_labels
from mmentity.visualization.text import draw_text


def draw_entities(
    img: np.ndarray,
    entities: EntityMap,
    alpha: float = 0.55,
    contours: bool = True,
    texts: Optional[Sequence[str]] = None,
    colours: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Draw entities over an image.

    Args:
        img: uint8 RGB ``(H, W, 3)``.
        entities: Entities of the same size.
        alpha: Share of the colour, 0..1.
        contours: Whether to draw white outlines.
        texts: A text for each entity, such as its id or score.
        colours: RGB ``(K + 1, 3)``, row k for entity k. Defaults to
            :func:`entity_colours`.

    Returns:
        uint8 RGB ``(H, W, 3)``.
    """
    if colours is None:
        colours = entity_colours(entities.num_entities)
    drawn = img.astype(np.float32)
    for layer in entities.ids:
        inside = layer > 0
        drawn[inside] = (1 - alpha) * drawn[inside] + alpha * colours[layer[inside]]
    drawn = drawn.astype(np.uint8)
    if contours:
        thickness = max(1, round(min(img.shape[:2]) / 400))
        drawn[outlines(entities, thickness)] = 255
    if texts is not None:
        drawn = draw_labels(drawn, entities, texts)
    return drawn


def mean_colours(img: np.ndarray, entities: EntityMap) -> np.ndarray:
    """Return the mean colour of the image in each entity, float RGB ``(K, 3)``, 0..255."""
    sums = np.zeros((entities.num_entities + 1, 3))
    for layer in entities.ids:
        for channel in range(3):
            values = np.bincount(layer.ravel(), img[..., channel].ravel(), len(sums))
            sums[:, channel] += values
    return sums[1:] / np.maximum(entities.areas, 1)[:, None]


def painted_colours(
    img: np.ndarray,
    entities: EntityMap,
    alpha: float = 0.55,
    colours: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Return the mean colour of each entity as :func:`draw_entities` paints it.

    Args:
        img: As there.
        entities: As there.
        alpha: As there.
        colours: As there.

    Returns:
        uint8 RGB ``(K, 3)``.
    """
    if colours is None:
        colours = entity_colours(entities.num_entities)
    painted = (1 - alpha) * mean_colours(img, entities) + alpha * colours[1:]
    return painted.round().astype(np.uint8)


def matched_colours(
    entities: EntityMap, reference: EntityMap, unmatched: Optional[Sequence[int]] = None
) -> np.ndarray:
    """Return colours for entities, those of the entities of another map that they match.

    Two entities match where their IoU is above 0.5, so that each matches one at most; where
    annotations overlap, the best one. Entities without a match get colours that the other
    map does not use.

    Args:
        entities: K entities, such as a prediction.
        reference: Entities of the same size, such as the ground truth.
        unmatched: RGB of all entities without a match, in place of colours of their own.

    Returns:
        uint8 RGB ``(K + 1, 3)``, for :func:`draw_entities`.
    """
    # only here, so that results can be drawn without it
    from scipy.optimize import linear_sum_assignment

    shared = entities.intersections(reference)
    iou = shared / np.maximum(entities.areas[:, None] + reference.areas - shared, 1)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    is_match = iou[rows, columns] > 0.5
    numbers = np.zeros(entities.num_entities, dtype=int)
    numbers[rows[is_match]] = columns[is_match] + 1
    others = numbers == 0
    numbers[others] = reference.num_entities + 1 + np.arange(others.sum())
    colours = entity_colours(int(numbers.max(initial=0)))[np.append(0, numbers)]
    if unmatched is not None:
        colours[1:][others] = unmatched
    return colours


def side_by_side(panels: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Put images of one size next to each other under their titles.

    Args:
        panels: uint8 RGB ``(H, W, 3)`` each.
        titles: Title of each.

    Returns:
        uint8 RGB ``(H + bar, W * panels, 3)``.
    """
    height, width = panels[0].shape[:2]
    bar = max(16, height // 20)
    sheet = Image.new('RGB', (width * len(panels), height + bar), 'white')
    canvas = ImageDraw.Draw(sheet)
    for column, (panel, title) in enumerate(zip(panels, titles)):
        sheet.paste(Image.fromarray(panel), (column * width, bar))
        draw_text(canvas, (column * width + bar // 4, bar // 8), title, size=int(bar * 0.7))
    return np.asarray(sheet)


def outlines(entities: EntityMap, thickness: int) -> np.ndarray:
    """Find the pixels of entities next to another value.

    Args:
        entities: Entities of one image.
        thickness: Width of the lines, px.

    Returns:
        bool ``(H, W)``.
    """
    edge = np.zeros(entities.ids.shape[1:], dtype=bool)
    for layer in entities.ids:
        edge[:, 1:] |= layer[:, 1:] != layer[:, :-1]
        edge[1:] |= layer[1:] != layer[:-1]
    if thickness > 1:
        kernel = np.ones((thickness, thickness), dtype=np.uint8)
        cv2 = import_opencv('outlines')
        edge = cv2.dilate(edge.astype(np.uint8), kernel).astype(bool)
    return edge
