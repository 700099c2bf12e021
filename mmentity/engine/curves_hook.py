"""Curves of loss and validation metric at the end of training."""

from pathlib import Path
from typing import Optional

from mmengine.dist import master_only
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmentity.registry import HOOKS
from mmentity.visualization.curves import draw_curves


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draw ``curves.png`` into the work directory when training ends.

    Args:
        metric: Name of the validation metric to draw beside the loss. Defaults to
            the one by which the checkpoint hook keeps the best model.
    """

    priority = 'VERY_LOW'

    def __init__(self, metric: Optional[str] = None) -> None:
        self.metric = metric

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Draw the curves of this run and of those that it resumed."""
        metric = self.metric or _best_model_metric(runner)
        path = draw_curves(Path(runner.work_dir), metric)
        if path is not None:
            runner.logger.info(f'Curves of loss and {metric} are in {path}')


def _best_model_metric(runner: Runner) -> str:
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best is not None:
            return hook.key_indicators[0]
    return ''
