"""Pictures of what a run found."""

import cv2
import numpy as np
from PIL import Image

from mmentity.apis.export.numbering import Numbered
from mmentity.apis.result import EntityResult
from mmentity.visualization.drawing import draw_entities, side_by_side
from mmentity.visualization.legend import draw_legend

# Larger overlays are slow to open and show no more on a screen.
LONGEST_SIDE = 2048
THUMBNAIL_SIDE = 480


def draw_overlay(numbered: Numbered, drawn: tuple) -> np.ndarray:
    """Draw the entities over their picture.

    Args:
        numbered: Entities, with their picture.
        drawn: Some of ``options.DRAWN``.

    Returns:
        uint8 RGB; the longest side of a picture is at most ``LONGEST_SIDE`` px.
    """
    result = shrink(numbered.result, LONGEST_SIDE)
    parts = [('ids', [str(k) for k in numbered.ids])]
    parts += [('scores', [f'{score:.2f}' for score in numbered.result.scores])]
    texts = [' '.join(t) for t in zip(*(values for name, values in parts if name in drawn))]
    alpha = 0.55 if 'fill' in drawn else 0.0
    picture = draw_entities(
        result.image, result.entities, alpha, 'contours' in drawn, texts or None
    )
    if 'side-by-side' in drawn:
        titles = ('picture', f'{len(result)} entities')
        picture = side_by_side((result.image, picture), titles)
    if 'legend' in drawn:
        legend = draw_legend(numbered.ids, numbered.result.scores, numbered.result.areas, picture)
        picture = np.hstack([picture, legend])
    return picture


def draw_thumbnails(numbered: Numbered) -> tuple:
    """Draw the pair of small pictures of a contact sheet, as JPEG bytes."""
    result = shrink(numbered.result, THUMBNAIL_SIDE)
    drawn = draw_entities(result.image, result.entities)
    return tuple(
        cv2.imencode('.jpg', img[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        for img in (drawn, result.image)
    )


def shrink(result: EntityResult, longest: int) -> EntityResult:
    """Make map and picture smaller, if they are large; entities keep their rows."""
    factor = longest / max(result.height, result.width)
    if factor >= 1:
        return result
    height, width = (max(1, round(side * factor)) for side in (result.height, result.width))
    entities = result.entities.resize(height, width)
    image = np.asarray(
        Image.fromarray(result.image).resize((width, height), Image.BILINEAR, reducing_gap=2)
    )
    return EntityResult(
        result.name,
        entities,
        result.scores,
        result.labels,
        entities.boxes_xyxy_px,
        entities.areas,
        image=image,
    )
