"""mmengine's own checkpoints under torch's safe loader."""

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from mmentity.registry import HOOKS


def allow_mmengine_checkpoints() -> None:
    """Tell torch's safe loader the classes that mmengine's checkpoints hold.

    From torch 2.6 on ``torch.load`` unpickles only what it knows. mmengine saves
    its log history: ``HistoryBuffer`` objects of numpy arrays and the names of
    their own methods. Nothing else is allowed, and the check stays on.
    """
    if not hasattr(torch.serialization, 'add_safe_globals'):
        return
    reconstruct = np.zeros(0).__reduce__()[0]
    allowed = [HistoryBuffer, np.ndarray, np.dtype, getattr, reconstruct]
    allowed += [type(np.dtype(kind)) for kind in (np.float64, np.int64, np.float32, np.int32)]
    allowed.append((reconstruct, 'numpy.core.multiarray._reconstruct'))
    scalar = np.float64(0).__reduce__()[0]
    allowed += [scalar, (scalar, 'numpy.core.multiarray.scalar')]
    torch.serialization.add_safe_globals(allowed)


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Let a runner load and resume mmengine's checkpoints with the safe loader."""

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Allow what checkpoints hold before the runner loads one."""
        allow_mmengine_checkpoints()
