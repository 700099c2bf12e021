"""Drawings of what a network is given: views, flips, padding and targets."""

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import torch
from mmdet.structures import DetDataSample
from PIL import Image, ImageDraw

from mmentity.models import MultiViewDataPreprocessor
from mmentity.structures import EntityMap
from mmentity.structures.palette import entity_colours
from mmentity.utils.arrays import to_numpy
from mmentity.visualization.drawing import draw_entities, side_by_side


def draw_inputs(
    packed: dict[str, Any],
    preprocessor: MultiViewDataPreprocessor,
    training: bool,
    classes: Sequence[str] = (),
) -> np.ndarray:
    """Draw one sample as the network gets it, after the data preprocessor.

    The upper row holds the views with their padding, the lower one the targets
    of training on each view, or the ground truth for scoring on the whole image.

    Args:
        packed: Sample of a dataset, ``inputs`` and ``data_samples``.
        preprocessor: Data preprocessor of the model.
        training: Whether to draw targets of training.
        classes: Names of the classes; written on entities where there are several.

    Returns:
        uint8 RGB.

    Raises:
        ValueError: If the sample was not packed by ``PackEntityInputs``.
    """
    if 'view_shapes' not in getattr(packed.get('data_samples'), 'metainfo', ()):
        raise ValueError(
            'the samples of this config have no views; browse draws what '
            'mmentity.PackEntityInputs packs at the end of a pipeline'
        )
    batch = {'inputs': [packed['inputs']], 'data_samples': [packed['data_samples']]}
    with torch.no_grad():
        batch = preprocessor(batch, training)
    sample = batch['data_samples'][0]
    views = [to_numpy(preprocessor.to_rgb(view)).transpose(1, 2, 0) for view in batch['inputs'][0]]
    titles = [_title(number, sample) for number in range(len(views))]
    rows = [side_by_side([_draw_boxes(views[0], sample), *views[1:]], titles)]
    if training:
        rows.append(_draw_targets(views, sample, classes))
    elif 'gt_entity_map' in sample:
        rows.append(_draw_ground_truth(views, sample, classes))
    width = max(row.shape[1] for row in rows)
    return np.concatenate([_widen(row, width) for row in rows])


def _title(number: int, sample: DetDataSample) -> str:
    height, width = sample.view_shapes[number]
    flip = ', flipped' if number == 0 and sample.metainfo.get('flip') else ''
    return f'view {number}: {height}x{width} px{flip}'


def _draw_boxes(view: np.ndarray, sample: DetDataSample) -> np.ndarray:
    """Draw the boxes of the crops on the whole image, each a little inside the last."""
    image = Image.fromarray(view)
    canvas = ImageDraw.Draw(image)
    colours = entity_colours(len(sample.view_boxes))
    x0, y0, x1, y1 = sample.view_boxes[0]
    height, width = sample.view_shapes[0]
    scale = np.array([width / (x1 - x0), height / (y1 - y0)] * 2)
    for number, box in enumerate(sample.view_boxes[1:]):
        left, top, right, bottom = (np.array(box) * scale).round().astype(int).tolist()
        canvas.rectangle(
            (left + number, top + number, right - 1 - number, bottom - 1 - number),
            outline=tuple(colours[number + 1].tolist()),
        )
    return np.asarray(image)


def _draw_targets(
    views: list[np.ndarray], sample: DetDataSample, classes: Sequence[str]
) -> np.ndarray:
    instances = sample.gt_instances
    panels, titles = [], []
    for number, view in enumerate(views):
        entities = EntityMap.from_masks(to_numpy(instances.masks[:, number]))
        panels.append(draw_entities(view, entities, texts=_texts(instances.labels, classes)))
        in_view = int(instances.in_view[:, number].sum())
        titles.append(f'targets: {in_view} of {len(instances)} in view')
    return side_by_side(panels, titles)


def _draw_ground_truth(
    views: list[np.ndarray], sample: DetDataSample, classes: Sequence[str]
) -> np.ndarray:
    height, width = sample.view_shapes[0]
    labels = sample.gt_instances.labels
    entities = EntityMap(to_numpy(sample.gt_entity_map.ids), len(labels))
    size = f'{entities.height}x{entities.width} px'
    panel = views[0].copy()
    panel[:height, :width] = draw_entities(
        panel[:height, :width], entities.resize(height, width), texts=_texts(labels, classes)
    )
    return side_by_side([panel], [f'ground truth: {len(labels)} entities, {size}'])


def _texts(labels: torch.Tensor, classes: Sequence[str]) -> Optional[list[str]]:
    if len(classes) < 2:
        return None
    return [classes[label] for label in labels.tolist()]


def _widen(row: np.ndarray, width: int) -> np.ndarray:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
