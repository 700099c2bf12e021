"""Hook of the runner around the loading of checkpoints."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmentity.checkpoints.load import describe_load
from mmentity.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Name the config of the run in messages about a checkpoint that does not fit it.

    Loading needs no hook: :mod:`mmentity.checkpoints` lets every runner read the
    checkpoints of mmengine safely, and those of the official release.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the name of the config to what the model knows about the checkpoint."""
        name = Path(runner.cfg.filename or 'of this run').name
        describe_load(checkpoint, target=f'the config {name}')
