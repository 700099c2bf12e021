"""Visualizer of predictions for mmengine's runner and mmdet's inferencer."""

from collections.abc import Sequence
from typing import Any, Optional

import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmengine.dist import master_only
from mmengine.visualization import Visualizer

from mmentity.registry import VISUALIZERS
from mmentity.structures.palette import entity_colours
from mmentity.visualization.drawing import draw_entities, matched_colours, side_by_side
from mmentity.visualization.sample_maps import Drawable, ground_truth_of, prediction_of


@VISUALIZERS.register_module()
class EntityVisualizer(Visualizer):
    """Draw image, ground truth and prediction side by side.

    Used as mmdet's ``DetLocalVisualizer`` is: by ``DetVisualizationHook``, so with
    ``--show-dir``, and by ``DetInferencer``.

    Args:
        name: Name of the instance, as in mmengine.
        alpha: Share of the colour of an entity, 0..1.
        texts: What to write on predicted entities: ``'id'``, ``'score'`` or None.
        **kwargs: As in :class:`mmengine.visualization.Visualizer`.

    Raises:
        ValueError: If ``texts`` is something else.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *args: Any,
        alpha: float = 0.55,
        texts: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, *args, **kwargs)
        if texts not in (None, 'id', 'score'):
            raise ValueError(f"texts is {texts!r}; it must be 'id', 'score' or None")
        self.alpha = alpha
        self.texts = texts

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: Optional[DetDataSample] = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: Optional[str] = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw one sample.

        With ``draw_gt`` the drawing has the image, the ground truth and the prediction
        side by side below their titles, matched entities (IoU > 0.5) in one colour; without,
        it is the image with the prediction over it.

        Args:
            name: Title of the window or name in the backends.
            image: uint8 RGB ``(H, W, 3)``.
            data_sample: Sample with ground truth, a prediction of any task, or both.
            draw_gt: Whether to draw the ground truth, where there is one.
            draw_pred: Whether to draw the prediction.
            show: Whether to open a window.
            wait_time: Seconds that the window stays; 0 waits for a key.
            out_file: Where to save; its folder is made. The backends get the drawing
                otherwise.
            pred_score_thr: Entities below this score are not drawn, 0..1.
            step: Step in the backends.
        """
        image = np.clip(image, 0, 255).astype(np.uint8)
        panels, titles = [image], ['image']
        drawables: dict[str, Optional[Drawable]] = {}
        if draw_gt and data_sample is not None:
            drawables['ground truth'] = ground_truth_of(data_sample)
        if draw_pred and data_sample is not None:
            num_classes = len(self._classes)
            drawables['prediction'] = prediction_of(data_sample, pred_score_thr, num_classes)
        ground_truth = drawables.get('ground truth')
        for title, drawable in drawables.items():
            if drawable is not None:
                texts = self.texts if title == 'prediction' else None
                colours = _colours_of(drawable, ground_truth)
                panels.append(self._draw(image, drawable, texts, colours))
                titles.append(f'{title}: {drawable.entities.num_entities} entities')
        drawn = side_by_side(panels, titles) if draw_gt else panels[-1]
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(drawn[..., ::-1], out_file)
        else:
            self.add_image(name, drawn, step)

    def _draw(
        self,
        image: np.ndarray,
        drawable: Drawable,
        texts: Optional[str],
        colours: np.ndarray,
    ) -> np.ndarray:
        """Draw entities; those of class-aware tasks carry the name of their class."""
        entities, labels, scores, _ = drawable
        columns = []
        if len(self._classes) > 1:
            columns.append([self._name_of(label) for label in labels])
        if texts == 'id':
            columns.append([f'#{number}' for number in range(1, len(labels) + 1)])
        elif texts == 'score' and scores is not None:
            columns.append([f'{score:.2f}' for score in scores])
        written = [' '.join(line) for line in zip(*columns)] or None
        return draw_entities(image, entities, self.alpha, texts=written, colours=colours)

    def _name_of(self, label: int) -> str:
        """Name of a class; its number where the checkpoint named the classes of other data."""
        return self._classes[label] if label < len(self._classes) else f'class {label}'

    @property
    def _classes(self) -> Sequence[str]:
        return (self.dataset_meta or {}).get('classes', ('entity',))


def _colours_of(drawable: Drawable, ground_truth: Optional[Drawable]) -> np.ndarray:
    """Colours of entities: of their class, of what they match, or of their number."""
    if drawable.by_class:
        labels = drawable.labels
        return entity_colours(max(labels, default=0) + 1)[np.append(0, labels + 1)]
    if ground_truth is None or ground_truth is drawable:
        return entity_colours(drawable.entities.num_entities)
    return matched_colours(drawable.entities, ground_truth.entities)
