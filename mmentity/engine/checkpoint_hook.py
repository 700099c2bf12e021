"""Hook of the runner around checkpoints."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import FlexibleRunner, Runner

from mmentity.checkpoints.load import describe_load
from mmentity.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Name the config of the run in messages about a checkpoint that does not fit it.

    Loading needs no hook: :mod:`mmentity.checkpoints` lets every runner read the
    checkpoints of mmengine safely, and those of the official release.

    It also sets right the iteration and epoch of a checkpoint that ``FlexibleRunner`` writes
    after a validation, which mmengine counts one too many, so that a resumed training would
    leave out one.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.is_validating = False

    def before_val(self, runner: Runner) -> None:
        """Note that iterations and epochs are counted already."""
        self.is_validating = True

    def after_val(self, runner: Runner) -> None:
        """Note that the next checkpoint comes in the middle of an iteration or epoch."""
        self.is_validating = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Correct the counts of ``FlexibleRunner``."""
        if self.is_validating and isinstance(runner, FlexibleRunner):
            checkpoint['meta'].update(epoch=runner.epoch, iter=runner.iter)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the name of the config to what the model knows about the checkpoint."""
        name = Path(runner.cfg.filename or 'of this run').name
        describe_load(checkpoint, target=f'the config {name}')
