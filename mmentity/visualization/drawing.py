"""Entity maps over images, as plain functions on arrays."""

from collections.abc import Sequence
from typing import Optional

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mmentity.structures import EntityMap
from mmentity.structures.palette import entity_colours
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
        drawn[_outlines(entities, thickness)] = 255
    if texts is not None:
        drawn = _draw_labels(drawn, entities, texts)
    return drawn


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


def _outlines(entities: EntityMap, thickness: int) -> np.ndarray:
    """Pixels of entities next to another value, bool ``(H, W)``."""
    edge = np.zeros(entities.ids.shape[1:], dtype=bool)
    for layer in entities.ids:
        edge[:, 1:] |= layer[:, 1:] != layer[:, :-1]
        edge[1:] |= layer[1:] != layer[:-1]
    if thickness > 1:
        kernel = np.ones((thickness, thickness), dtype=np.uint8)
        edge = cv2.dilate(edge.astype(np.uint8), kernel).astype(bool)
    return edge


def _draw_labels(img: np.ndarray, entities: EntityMap, texts: Sequence[str]) -> np.ndarray:
    """Write each text where its entity is widest."""
    image = Image.fromarray(img)
    canvas = ImageDraw.Draw(image)
    size = max(9, min(img.shape[:2]) // 32)
    for k, (x0, y0, x1, y1) in enumerate(entities.boxes_xyxy_px.tolist()):
        if x0 == x1:
            continue
        mask = (entities.ids[:, y0:y1, x0:x1] == k + 1).any(axis=0)
        depth = cv2.distanceTransform(
            np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3
        )
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        centre = (x0 + column - 1, y0 + row - 1)
        outlined = {'stroke_width': 1, 'stroke_fill': 'black'}
        draw_text(canvas, centre, texts[k], size, 'white', anchor='mm', **outlined)
    return np.asarray(image)
