"""Labels of entities, none of which covers another one.

The smallest entity comes first, and each label takes the free place that is nearest to where
its entity is widest: the greedy rule on an occupancy bitmap of Kittivorawong et al., "Fast
and Flexible Overlap Detection for Chart Labeling with Occupancy Bitmap", IEEE VIS 2020.
"""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image, ImageDraw

from mmentity.structures import EntityMap
from mmentity.utils.dependencies import import_opencv
from mmentity.visualization.text import draw_text, text_size

Box = tuple[int, int, int, int]


class Label(NamedTuple):
    """The label of one entity.

    Attributes:
        text: What it says.
        anchor: x and y in px where its entity is widest.
        box_xyxy_px: Where it stands, right and bottom exclusive.
    """

    text: str
    anchor: tuple[int, int]
    box_xyxy_px: Box

    @property
    def is_apart(self) -> bool:
        """Whether the label is farther from its anchor than half its height."""
        (x, y), (x0, y0, x1, y1) = self.anchor, self.box_xyxy_px
        return bool(np.hypot(max(x0 - x, 0, x - x1), max(y0 - y, 0, y - y1)) > (y1 - y0) / 2)


def draw_labels(img: np.ndarray, entities: EntityMap, texts: Sequence[str]) -> np.ndarray:
    """Write a text at each entity, with a line to it where it stands apart.

    Args:
        img: uint8 RGB ``(H, W, 3)``.
        entities: K entities of the same size.
        texts: K texts.

    Returns:
        uint8 RGB ``(H, W, 3)``.
    """
    image = Image.fromarray(img)
    canvas = ImageDraw.Draw(image)
    size = max(9, min(img.shape[:2]) // 32)
    labels = place_labels(entities, texts, size)
    for (x, y), (x0, y0, x1, y1) in (label[1:] for label in labels if label.is_apart):
        line = [(x, y), (min(max(x, x0), x1), min(max(y, y0), y1))]
        width = max(1, size // 12)
        canvas.line(line, 'black', width + 2)
        canvas.line(line, 'white', width)
    for label in labels:
        x0, y0, x1, y1 = label.box_xyxy_px
        centre = ((x0 + x1) / 2, (y0 + y1) / 2)
        outlined = {'stroke_width': 1, 'stroke_fill': 'black'}
        draw_text(canvas, centre, label.text, size, 'white', anchor='mm', **outlined)
    return np.asarray(image)


def place_labels(entities: EntityMap, texts: Sequence[str], size: int) -> list[Label]:
    """Place labels so that none covers another one or leaves the image.

    A label for which there is no room is left out.

    Args:
        entities: K entities; those without a pixel get no label.
        texts: K texts.
        size: Height of the font in px.

    Returns:
        Labels, those of the smallest entities first.
    """
    areas, boxes = entities.areas, entities.boxes_xyxy_px.tolist()
    bitmap = _Bitmap(entities, cell_px=max(1, size // 4))
    labels = []
    for k in np.argsort(areas, kind='stable'):
        if not areas[k] or not texts[k]:
            continue
        anchor = _widest_point(entities, k, boxes[k])
        box = bitmap.take(k, anchor, text_size(texts[k], size))
        if box is not None:
            labels.append(Label(texts[k], anchor, box))
    return labels


def _widest_point(entities: EntityMap, k: int, box_xyxy_px: Box) -> tuple[int, int]:
    """Return the pixel of an entity, x and y, that is farthest from its outline."""
    x0, y0, x1, y1 = box_xyxy_px
    mask = (entities.ids[:, y0:y1, x0:x1] == k + 1).any(axis=0)
    cv2 = import_opencv('labels')
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return x0 + int(column) - 1, y0 + int(row) - 1


class _Bitmap:
    """Cells of an image, and which of them labels cover."""

    def __init__(self, entities: EntityMap, cell_px: int) -> None:
        self.entities, self.cell_px = entities, cell_px
        shape = entities.height // cell_px, entities.width // cell_px
        self.taken = np.zeros(shape, dtype=np.int32)

    def take(self, k: int, anchor: tuple[int, int], size_px: tuple[int, int]) -> Optional[Box]:
        """Take the best free place for a label of a width and height in px."""
        width, height = (-(-side // self.cell_px) for side in size_px)
        rows, columns = self.taken.shape
        if width > columns or height > rows:
            return None
        sums = np.pad(self.taken.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        covered = sums[height:, width:] - sums[height:, :-width]
        covered += sums[:-height, :-width] - sums[:-height, width:]
        cost = np.where(covered > 0, np.inf, self._cost(k, anchor, width, height))
        row, column = np.unravel_index(cost.argmin(), cost.shape)
        if np.isinf(cost[row, column]):
            return None
        self.taken[row : row + height, column : column + width] = 1
        box = np.array([column, row, column + width, row + height]) * self.cell_px
        return tuple(box.tolist())

    def _cost(self, k: int, anchor: tuple[int, int], width: int, height: int) -> np.ndarray:
        """Distance in cells from the anchor, greater where the centre is off the entity."""
        rows, columns = self.taken.shape
        y = np.arange(rows - height + 1)[:, None] + height / 2
        x = np.arange(columns - width + 1) + width / 2
        distance = np.hypot(x - anchor[0] / self.cell_px, y - anchor[1] / self.cell_px)
        pixel_rows, pixel_columns = ((each * self.cell_px).astype(int) for each in (y, x))
        is_own = (self.entities.ids[:, pixel_rows, pixel_columns] == k + 1).any(axis=0)
        return np.where(is_own, distance, distance + 2 * height)
