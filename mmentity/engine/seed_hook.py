"""Random numbers that do not depend on where a training was stopped."""

import random
from typing import Optional

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmentity.registry import HOOKS


@HOOKS.register_module()
class SeedByIterationHook(Hook):
    """Draw the random numbers of each iteration from the seed and the number of the iteration.

    A training that was stopped and resumed then gives the weights of one that was not. mmengine
    brings back model, optimizer and schedules, and lets the workers that load images go through
    what they had loaded; the numbers of the training process, as of sampling points and dropped
    paths, would go on from the seed.

    It changes the random numbers of a training, so no shipped config has it.

    Raises:
        ValueError: At the start of a training that has no ``randomness.seed``, goes by epochs, or
            loads images in the training process.

    Examples:
        >>> randomness = dict(seed=0)
        >>> custom_hooks = [*_base_.custom_hooks, dict(type='mmentity.SeedByIterationHook')]
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check that nothing else draws numbers that a resumed training could not."""
        for wrong, fix in (
            (runner.cfg.get('randomness', {}).get('seed') is None, 'randomness = dict(seed=0)'),
            (not isinstance(runner.train_loop, IterBasedTrainLoop), 'type="IterBasedTrainLoop"'),
            (runner.train_dataloader.num_workers == 0, 'train_dataloader = dict(num_workers=1)'),
        ):
            if wrong:
                raise ValueError(f'SeedByIterationHook needs {fix} in the config, or drop the hook')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Seed what this iteration draws from."""
        seed = int(np.random.SeedSequence([runner.seed, runner.iter]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
