"""The metric of each image of a test, from its dumped predictions."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from mmdet.evaluation.metrics import CocoMetric
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmentity.evaluation.samples import Sample


def score_each_image(
    rows: Sequence[Sample], evaluator: Any, dataset_meta: dict, name: Optional[str] = None
) -> Iterator[float]:
    """Score each image of a test by itself.

    Args:
        rows: Dumped predictions, as :class:`DumpEntityResults` writes them.
        evaluator: Config of the evaluator, of one metric or a list.
        dataset_meta: Metainfo of the dataset.
        name: Name of the metric, such as ``entity/APe``. Defaults to the first one that
            the evaluator gives.

    Yields:
        The metric of each image; NaN where it has no ground truth.

    Raises:
        ValueError: If the evaluator gives no metric of this name.
    """
    configs = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    metrics = [METRICS.build(config) for config in configs]
    for metric in metrics:
        metric.dataset_meta = dataset_meta
        if isinstance(metric, CocoMetric):
            metric.classwise = False
    for row in rows:
        found: dict[str, float] = {}
        with _quiet():
            for metric in metrics:
                found.update(_score_one(metric, row))
        if name is not None and name not in found:
            raise ValueError(f'the evaluator gives no {name}; it gives {", ".join(found)}')
        yield float(found[name or next(iter(found))])


def _score_one(metric: BaseMetric, row: Sample) -> dict[str, float]:
    if isinstance(metric, CocoMetric):
        # it would score all images of its annotation file
        metric.img_ids = [row['img_id']]
    metric.process({}, [row])
    return metric.evaluate(1)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tables of metrics, one for each image, out of the log."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
