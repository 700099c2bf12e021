"""Entities that several models predict for one image, beside its ground truth."""

from collections.abc import Mapping

import numpy as np

from mmentity.structures import EntityMap
from mmentity.visualization.drawing import draw_entities, matched_colours, outlines, side_by_side

BETTER = (255, 220, 0)
UNMATCHED = (150, 150, 150)


def best_ious(ground_truth: EntityMap, predicted: EntityMap) -> np.ndarray:
    """IoU of each annotated entity with the predicted one that fits it best.

    Returns:
        float ``(K,)``, 0..1; 0 where nothing meets an entity.
    """
    shared = ground_truth.intersections(predicted)
    union = ground_truth.areas[:, None] + predicted.areas[None] - shared
    return (shared / np.maximum(union, 1)).max(axis=1, initial=0.0)


def draw_comparison(
    img: np.ndarray,
    ground_truth: EntityMap,
    predictions: Mapping[str, EntityMap],
    margin: float = 0.2,
) -> np.ndarray:
    """Draw image, ground truth and predictions side by side.

    A predicted entity has the colour of the annotated one that it shares at least half of
    its union with, and is grey without one. Yellow frames show what a model segments better
    than every other, in its own panel.

    Args:
        img: uint8 RGB ``(H, W, 3)``.
        ground_truth: Annotated entities.
        predictions: Predicted entities by the name of their model.
        margin: IoU by which an entity must be better to be outlined, 0..1.

    Returns:
        uint8 RGB ``(H + bar, W * (2 + models), 3)``.
    """
    found = {name: best_ious(ground_truth, entities) for name, entities in predictions.items()}
    count = ground_truth.num_entities
    panels = [img, draw_entities(img, ground_truth)]
    titles = ['image', f'ground truth: {count} entities']
    for name, entities in predictions.items():
        colours = matched_colours(entities, ground_truth, UNMATCHED)
        panel = draw_entities(img, entities, colours=colours)
        others = [ious for other, ious in found.items() if other != name]
        is_better = found[name] - np.max(others, axis=0, initial=0.0) >= margin
        thickness = max(2, min(img.shape[:2]) // 90)
        panel[outlines(ground_truth.select(is_better), thickness)] = BETTER
        panels.append(panel)
        titles.append(f'{name}: mean IoU {found[name].mean() if count else 0:.2f}')
    return side_by_side(panels, titles)
