"""Curves of loss and score at the end of training."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmentity.registry import HOOKS
from mmentity.visualization.curves import draw_curves


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draw ``curves.png`` into the work directory when training ends.

    Args:
        metric: Name of the validation figure to draw beside the loss.
    """

    priority = 'VERY_LOW'

    def __init__(self, metric: str = 'entity/APe') -> None:
        self.metric = metric

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Draw the curves of this run and of those that it resumed."""
        path = draw_curves(Path(runner.work_dir), self.metric)
        if path is not None:
            runner.logger.info(f'Curves of loss and {self.metric} are in {path}')
