"""mmengine's own checkpoints under torch's safe loader."""

import pickle

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler import param_scheduler
from mmengine.runner import Runner
from mmengine.utils import digit_version

from mmentity.registry import HOOKS

# Methods that mmengine's objects refer to by name in their pickled state.
METHODS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    param_scheduler.OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def allow_mmengine_checkpoints() -> None:
    """Tell torch's safe loader what mmengine's checkpoints hold.

    From torch 2.6 on ``torch.load`` unpickles only what it knows. mmengine saves
    its log history and the state of its schedulers: two classes, numpy arrays,
    and references to a few methods of the two classes. Only these are allowed,
    and the check stays on.
    """
    if digit_version(torch.__version__) < digit_version('2.6'):
        return
    reconstruct = np.zeros(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    allowed = [*METHODS, np.ndarray, np.dtype, reconstruct, scalar]
    allowed += [type(np.dtype(kind)) for kind in ('f8', 'f4', 'i8', 'i4')]
    # numpy 1 and 2 name these differently, and a checkpoint may come from either
    for package in ('numpy.core', 'numpy._core'):
        allowed.append((reconstruct, f'{package}.multiarray._reconstruct'))
        allowed.append((scalar, f'{package}.multiarray.scalar'))
    allowed.append((_known_method, 'builtins.getattr'))
    torch.serialization.add_safe_globals(allowed)


def _known_method(owner: object, name: str) -> object:
    """Stand in for ``getattr`` while unpickling; knows ``METHODS`` and nothing else."""
    if isinstance(owner, type) and name in METHODS.get(owner, ()):
        return getattr(owner, name)
    raise pickle.UnpicklingError(
        f'the checkpoint asks for {name!r} of {owner!r}, which mmengine never saves; '
        'do not load this file'
    )


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Let a runner load and resume mmengine's checkpoints with the safe loader."""

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Allow what checkpoints hold before the runner loads one."""
        allow_mmengine_checkpoints()
