"""Pictures of what a network is given: views, flips, padding and targets."""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.model import ImgDataPreprocessor
from PIL import Image, ImageDraw

from mmentity.structures import EntityMap
from mmentity.structures.palette import entity_colours
from mmentity.visualization.drawing import draw_entities, side_by_side


def draw_inputs(
    packed: dict, preprocessor: ImgDataPreprocessor, training: bool, classes: Sequence[str] = ()
) -> np.ndarray:
    """Draw one sample as the network gets it, after the data preprocessor.

    The upper row holds the views with their padding, the lower one the targets
    of training on each view, or the truth for scoring on the whole picture.

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
    views = [_to_rgb(view, preprocessor) for view in batch['inputs'][0]]
    titles = [_title(number, sample) for number in range(len(views))]
    rows = [side_by_side([_draw_boxes(views[0], sample), *views[1:]], titles)]
    if training:
        rows.append(_draw_targets(views, sample, classes))
    elif 'gt_entity_map' in sample:
        rows.append(_draw_truth(views, sample, classes))
    width = max(row.shape[1] for row in rows)
    return np.concatenate([_widen(row, width) for row in rows])


def _to_rgb(view: torch.Tensor, preprocessor: ImgDataPreprocessor) -> np.ndarray:
    values = view.cpu() * preprocessor.std.cpu() + preprocessor.mean.cpu()
    # the preprocessor turns BGR into RGB unless the model wants BGR
    values = values if preprocessor._channel_conversion else values.flip(0)
    return values.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()


def _title(number: int, sample: DetDataSample) -> str:
    height, width = sample.view_shapes[number]
    flip = ', flipped' if number == 0 and sample.metainfo.get('flip') else ''
    return f'view {number}: {height}x{width} px{flip}'


def _draw_boxes(view: np.ndarray, sample: DetDataSample) -> np.ndarray:
    """Draw the boxes of the crops on the whole picture, each a little inside the last."""
    picture = Image.fromarray(view)
    draw = ImageDraw.Draw(picture)
    colours = entity_colours(len(sample.view_boxes))
    x0, y0, x1, y1 = sample.view_boxes[0]
    height, width = sample.view_shapes[0]
    scale = np.array([width / (x1 - x0), height / (y1 - y0)] * 2)
    for number, box in enumerate(sample.view_boxes[1:]):
        left, top, right, bottom = (np.array(box) * scale).round().astype(int).tolist()
        draw.rectangle(
            (left + number, top + number, right - 1 - number, bottom - 1 - number),
            outline=tuple(colours[number + 1].tolist()),
        )
    return np.asarray(picture)


def _draw_targets(views: list, sample: DetDataSample, classes: Sequence[str]) -> np.ndarray:
    instances = sample.gt_instances
    panels, titles = [], []
    for number, view in enumerate(views):
        masks = instances.masks[:, number].cpu().numpy()
        entities = EntityMap.from_masks(masks) if len(masks) else EntityMap(_empty(view))
        panels.append(draw_entities(view, entities, texts=_texts(instances.labels, classes)))
        titles.append(f'targets: {int(instances.in_view[:, number].sum())} of {len(masks)} in view')
    return side_by_side(panels, titles)


def _draw_truth(views: list, sample: DetDataSample, classes: Sequence[str]) -> np.ndarray:
    height, width = sample.view_shapes[0]
    labels = sample.gt_instances.labels
    entities = EntityMap(sample.gt_entity_map.ids.cpu().numpy(), len(labels))
    size = f'{entities.height}x{entities.width} px'
    panel = views[0].copy()
    panel[:height, :width] = draw_entities(
        panel[:height, :width], entities.resize(height, width), texts=_texts(labels, classes)
    )
    return side_by_side([panel], [f'truth: {len(labels)} entities, {size}'])


def _texts(labels: torch.Tensor, classes: Sequence[str]) -> list:
    if len(classes) < 2:
        return None
    return [classes[label] for label in labels.tolist()]


def _empty(view: np.ndarray) -> np.ndarray:
    return np.zeros(view.shape[:2], dtype=np.int32)


def _widen(row: np.ndarray, width: int) -> np.ndarray:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
