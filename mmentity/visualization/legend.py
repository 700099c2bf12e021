"""A legend of entities."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmentity.structures.palette import entity_colours


def draw_legend(
    ids: Sequence[int], scores: Sequence[float], areas: Sequence[int], beside: np.ndarray
) -> np.ndarray:
    """Draw colour, id, score and share of the picture of each entity.

    Where there is not room for all, the last line counts the others.

    Args:
        ids: Id of each entity; its colour is that of its row in ``draw_entities``.
        scores: Score of each, 0..1.
        areas: Area of each, px.
        beside: Picture that the legend goes beside, ``(H, W, 3)``.

    Returns:
        uint8 RGB ``(H, w, 3)``.
    """
    height = beside.shape[0]
    line = max(12, min(28, height // 24))
    font = ImageFont.load_default(size=line * 0.7)
    width = int(line * 8.5)
    sheet = Image.new('RGB', (width, height), 'white')
    draw = ImageDraw.Draw(sheet)
    rows = max(1, height // line - 1)
    shown = len(ids) if len(ids) <= rows else rows - 1
    columns = [line * 0.3, line * 1.5, line * 3.4, line * 5.6]
    for x, title in zip(columns[1:], ('id', 'score', 'area')):
        draw.text((x, line * 0.1), title, fill='grey', font=font)
    colours = entity_colours(len(ids))[1:]
    for row in range(shown):
        top = (row + 1) * line
        box = (columns[0], top + line * 0.15, columns[0] + line * 0.8, top + line * 0.85)
        draw.rectangle(box, fill=tuple(colours[row].tolist()))
        texts = (str(ids[row]), f'{scores[row]:.2f}', f'{areas[row]:,}')
        for x, text in zip(columns[1:], texts):
            draw.text((x, top + line * 0.1), text, fill='black', font=font)
    if shown < len(ids):
        text = f'and {len(ids) - shown} more'
        draw.text((columns[0], (shown + 1) * line), text, fill='grey', font=font)
    return np.asarray(sheet)
