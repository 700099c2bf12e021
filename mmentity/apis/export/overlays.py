"""Drawings of what a run found."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np
from PIL import Image

from mmentity.apis.export.numbering import NumberedResult
from mmentity.apis.naming import EntityNamer
from mmentity.apis.result import EntityResult
from mmentity.structures import EntityMap
from mmentity.structures.palette import colours_of
from mmentity.visualization.drawing import draw_entities, painted_colours, side_by_side
from mmentity.visualization.legend import draw_legend

# Larger overlays are slow to open and show no more on a screen.
LONGEST_SIDE = 2048
THUMBNAIL_SIDE = 480


class Preview(NamedTuple):
    """Image, uint8 RGB ``(h, w, 3)``, and map, at a size for looking at them."""

    image: np.ndarray
    entities: EntityMap


def check_names_are_given(drawn: Sequence[str], namer: Optional[EntityNamer]) -> None:
    """Raise a ValueError if names are to be drawn and nothing gives any."""
    if namer is None and 'names' in drawn:
        raise ValueError('names are to be drawn, but entities get none; give --labels (a namer)')


def draw_overlay(numbered: NumberedResult, drawn: Sequence[str]) -> np.ndarray:
    """Draw the entities over their image, uint8 RGB, at most ``LONGEST_SIDE`` px.

    The colour of an entity is that of its id, the same in each image.

    Args:
        numbered: Entities, with their image.
        drawn: Some of ``options.DRAWN``.
    """
    result = numbered.result
    image, entities = shrink(result, LONGEST_SIDE)
    columns = {
        'ids': [f'#{number}' for number in numbered.ids],
        'scores': [f'{score:.2f}' for score in result.scores],
        'names': _names_of(result) if 'names' in drawn else [],
    }
    texts = [' '.join(t) for t in zip(*(columns[name] for name in columns if name in drawn))]
    alpha = 0.55 if 'fill' in drawn else 0.0
    colours = colours_of(np.append(0, numbered.ids))
    overlay = draw_entities(image, entities, alpha, 'contours' in drawn, texts or None, colours)
    if 'side-by-side' in drawn:
        overlay = side_by_side((image, overlay), ('image', f'{len(result)} entities'))
    if 'legend' in drawn:
        painted = painted_colours(image, entities, alpha, colours)
        legend = draw_legend(numbered.ids, result.scores, result.areas, painted, len(overlay))
        overlay = np.hstack([overlay, legend])
    return overlay


def _names_of(result: EntityResult) -> list[str]:
    """Return the texts of the names of entities."""
    if result.naming is None:
        raise ValueError(f'the entities of {result.name} have no names to draw; use an EntityNamer')
    named = zip(result.naming.names, result.naming.scores)
    return [f'{name} {score:.2f}' for name, score in named]


def draw_thumbnails(numbered: NumberedResult) -> dict[str, np.ndarray]:
    """Draw the two small images of a contact sheet, uint8 RGB, by format."""
    image, entities = shrink(numbered.result, THUMBNAIL_SIDE)
    colours = colours_of(np.append(0, numbered.ids))
    return {'sheet': draw_entities(image, entities, colours=colours), 'sheet_image': image}


def shrink(result: EntityResult, longest: int) -> Preview:
    """Resize image and map to a longest side in px, if they are larger."""
    factor = longest / max(result.height, result.width)
    if factor >= 1:
        return Preview(result.checked_image(), result.entities)
    height, width = (max(1, round(side * factor)) for side in (result.height, result.width))
    # first the map: what stays is allocated before Pillow's large copy comes and goes
    entities = result.lazy_map.resize(height, width).numbered()
    large = Image.fromarray(result.checked_image())
    small = large.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)
    return Preview(np.asarray(small), entities)
