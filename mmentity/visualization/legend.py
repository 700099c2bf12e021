"""A legend of entities."""

import numpy as np
from PIL import Image, ImageDraw

from mmentity.visualization.text import draw_text


def draw_legend(
    ids: np.ndarray, scores: np.ndarray, areas: np.ndarray, colours: np.ndarray, height: int
) -> np.ndarray:
    """Draw colour, id, score and area of each entity.

    Where there is not room for all, the last line counts the others.

    Args:
        ids: Id of each entity, int ``(K,)``.
        scores: Score of each, ``(K,)``, 0..1.
        areas: Area of each, int ``(K,)``, px.
        colours: Colour of each as it is painted, uint8 RGB ``(K, 3)``; see
            :func:`mmentity.visualization.drawing.painted_colours`.
        height: Height of the image that the legend goes beside, px.

    Returns:
        uint8 RGB ``(height, w, 3)``.
    """
    line = max(12, min(28, height // 24))
    size = line * 0.7
    sheet = Image.new('RGB', (int(line * 8.5), height), 'white')
    canvas = ImageDraw.Draw(sheet)
    rows = max(1, height // line - 1)
    shown = len(ids) if len(ids) <= rows else rows - 1
    columns = [line * 0.3, line * 1.5, line * 3.4, line * 5.6]
    for x, title in zip(columns[1:], ('id', 'score', 'area')):
        draw_text(canvas, (x, line * 0.1), title, size, 'grey')
    for row in range(shown):
        top = (row + 1) * line
        box = (columns[0], top + line * 0.15, columns[0] + line * 0.8, top + line * 0.85)
        canvas.rectangle(box, fill=tuple(colours[row].tolist()))
        texts = (str(ids[row]), f'{scores[row]:.2f}', f'{areas[row]:,}')
        for x, text in zip(columns[1:], texts):
            draw_text(canvas, (x, top + line * 0.1), text, size)
    if shown < len(ids):
        text = f'and {len(ids) - shown} more'
        draw_text(canvas, (columns[0], (shown + 1) * line), text, size, 'grey')
    return np.asarray(sheet)
