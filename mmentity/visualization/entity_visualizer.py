"""Visualizer of entity predictions for mmengine's runner."""

from typing import Optional

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.dist import master_only
from mmengine.visualization import Visualizer
from PIL import Image

from mmentity.registry import VISUALIZERS
from mmentity.structures import EntityMap
from mmentity.visualization.drawing import draw_entities, side_by_side


@VISUALIZERS.register_module()
class EntityVisualizer(Visualizer):
    """Draw picture, truth and prediction side by side.

    Works with mmdet's ``DetVisualizationHook``, so with ``--show-dir``.

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
        *args,
        alpha: float = 0.55,
        texts: Optional[str] = None,
        **kwargs,
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
        pred_score_thr: float = 0.0,
        out_file: Optional[str] = None,
        step: int = 0,
    ) -> None:
        """Draw one sample.

        Args:
            name: Title of the window or name in the backends.
            image: uint8 RGB ``(H, W, 3)``.
            data_sample: Sample with ``pred_entity_map``, ``gt_entity_map`` or both.
            draw_gt: Whether to draw the truth, where there is one.
            draw_pred: Whether to draw the prediction.
            show: Whether to open a window.
            wait_time: Seconds that the window stays; 0 waits for a key.
            pred_score_thr: Entities below this score are left out, 0..1.
            out_file: Where to save; the backends get the picture otherwise.
            step: Step in the backends.
        """
        panels, titles = [image], ['picture']
        if draw_gt and data_sample is not None and 'gt_entity_map' in data_sample:
            ids = data_sample.gt_entity_map.ids.cpu().numpy()
            panels.append(draw_entities(image, EntityMap(ids), self.alpha))
            titles.append(f'truth: {len(data_sample.gt_instances)} entities')
        if draw_pred and data_sample is not None and 'pred_entity_map' in data_sample:
            panel, count = self._draw_prediction(image, data_sample, pred_score_thr)
            panels.append(panel)
            titles.append(f'prediction: {count} entities')
        drawn = side_by_side(panels, titles)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            Image.fromarray(drawn).save(out_file)
        else:
            self.add_image(name, drawn, step)

    def _draw_prediction(self, image: np.ndarray, sample: DetDataSample, score_thr: float) -> tuple:
        scores = sample.pred_instances.scores.cpu().numpy()
        entities = EntityMap(sample.pred_entity_map.ids.cpu().numpy(), len(scores))
        keep = (scores >= score_thr) & (entities.areas > 0)
        entities, scores = entities.select(keep), scores[keep]
        texts = {
            None: None,
            'id': [str(k + 1) for k in range(len(scores))],
            'score': [f'{score:.2f}' for score in scores],
        }[self.texts]
        return draw_entities(image, entities, self.alpha, texts=texts), len(scores)
