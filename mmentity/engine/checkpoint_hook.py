"""mmengine's own checkpoints under torch's safe loader."""

import pickle
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler import param_scheduler
from mmengine.runner import CheckpointLoader, Runner
from mmengine.utils import digit_version

from mmentity.checkpoints.backbones import resize_windows
from mmentity.checkpoints.load import announce, misfit, provenance, recognise_file
from mmentity.checkpoints.read import WeightsError, read_checkpoint
from mmentity.checkpoints.recognise import OURS, Differences, Recognised, compare, shapes_of
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
    """Let a runner load checkpoints of any known source with the safe loader.

    mmengine's own checkpoints load and resume. One of the official release, or a
    backbone of ImageNet, given as ``load_from`` or for testing, is converted in
    memory. In testing every name and shape has to fit; in training the backbone
    has to, and what starts anew elsewhere, as a head of other classes does, is
    logged by name.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Allow what checkpoints hold before the runner loads one."""
        allow_mmengine_checkpoints()
        CheckpointLoader.register_scheme('', load_from_local, force=True)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Convert official weights in place, and check that the model takes them.

        Raises:
            WeightsError: If they do not fit, or cannot be resumed from.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'panoptic_head'):
            return
        path = runner._load_from or 'the checkpoint'
        recognised = recognise_file(checkpoint, path)
        if recognised.source != OURS:
            if runner._resume:
                raise WeightsError(
                    f'{path} is of {recognised.source} and holds no state of a training; begin '
                    'with it as load_from, without --resume'
                )
            checkpoint.clear()
            checkpoint.update(
                meta=provenance(recognised, path), state_dict=dict(recognised.state_dict)
            )
        differences = compare(recognised.state_dict, shapes_of(model))
        if differences and not runner._resume:
            self._begin_without(runner, checkpoint, recognised, differences)
        announce(recognised, path)

    def _begin_without(
        self, runner: Runner, checkpoint: dict, recognised: Recognised, differences: Differences
    ) -> None:
        """Leave out what a training may begin without; raise for anything else."""
        path, config = runner._load_from, Path(runner.cfg.filename or 'of this run').name
        expected = {name: shape for name, (_, shape) in differences.shapes.items()}
        resized = resize_windows(recognised.state_dict, expected)
        anew = [name for name in differences.names if name not in resized]
        training = isinstance(runner.optim_wrapper, (OptimWrapper, OptimWrapperDict))
        if not training or not all(map(_may_start_anew, anew)):
            sentence = misfit(path, f'the config {config}', recognised, differences.summary())
            raise WeightsError(sentence)
        state_dict = checkpoint.get('state_dict', checkpoint)
        state_dict.update(resized)
        for name in anew:
            state_dict.pop(name, None)
        if resized:
            runner.logger.info(f'{len(resized)} relative positions resized to the window of Swin')
        if anew:
            runner.logger.warning(
                f'{path} does not fit {config} in {len(anew)} weights, which start anew or are '
                f'left out: {", ".join(anew[:6])}{", ..." if len(anew) > 6 else ""}'
            )


def load_from_local(filename: str, map_location: object = None) -> dict:
    """Read a checkpoint file for a runner; mmengine takes the place from the name."""
    # not mapped: a run may overwrite the file that it was resumed from
    return read_checkpoint(filename, mmap=False)


def _may_start_anew(name: str) -> bool:
    """Whether training may begin without this weight.

    Classes, queries and views differ between the tasks, and a backbone of
    ImageNet has no norms of its feature maps.
    """
    return not name.startswith('backbone.') or name.startswith('backbone.norm')
