import json
import logging
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, IterBasedTrainLoop

from mmentity.engine import CurvesHook, SafeCheckpointHook, SeedByIterationHook


def test_a_damaged_line_does_not_fail_a_finished_training(tmp_path):
    folder = tmp_path / 'run' / 'vis_data'
    folder.mkdir(parents=True)
    rows = [json.dumps({'step': step, 'loss': 9.0 - step}) for step in (1, 2, 3)]
    (folder / 'scalars.json').write_bytes(
        '\n'.join([rows[0], rows[1][:9], '7', '{"loss": 1}', rows[2]]).encode() + b'\n\xff\n'
    )
    runner = SimpleNamespace(work_dir=str(tmp_path), hooks=[], logger=logging.getLogger())
    CurvesHook().after_train(runner)
    assert (tmp_path / 'curves.png').is_file()


def test_flexible_runner_counts_right_after_a_validation():
    """mmengine adds one to the iterations that are counted already."""
    hook = SafeCheckpointHook()
    counting = type('Counting', (FlexibleRunner,), {'iter': 4, 'epoch': 0})
    runner = object.__new__(counting)
    for is_validating, expected in ((False, 5), (True, 4)):
        if is_validating:
            hook.before_val(runner)
        checkpoint = {'meta': {'iter': 5, 'epoch': 0}}
        hook.before_save_checkpoint(runner, checkpoint)
        assert checkpoint['meta'] == {'iter': expected, 'epoch': 0}
    hook.after_val(runner)
    hook.before_save_checkpoint(runner, checkpoint := {'meta': {'iter': 6, 'epoch': 0}})
    assert checkpoint['meta']['iter'] == 6


def drawn(seed, iteration):
    """Numbers that an iteration draws after whatever was drawn before."""
    torch.rand(iteration + seed)
    SeedByIterationHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
    return [torch.rand(4).tolist(), np.random.rand(4).tolist(), random.random()]


def test_numbers_of_an_iteration_depend_on_seed_and_iteration_alone():
    assert drawn(0, 3) == drawn(0, 3)
    different = [drawn(seed, iteration) for seed in range(3) for iteration in range(3)]
    for numbers in zip(*different):
        assert len({str(number) for number in numbers}) == 9


@pytest.mark.parametrize(
    ('seed', 'loop', 'num_workers', 'message'),
    [
        (None, IterBasedTrainLoop, 1, r'needs randomness = dict\(seed=0\) in the config'),
        (0, EpochBasedTrainLoop, 1, 'needs type="IterBasedTrainLoop"'),
        (0, IterBasedTrainLoop, 0, r'needs train_dataloader = dict\(num_workers=1\)'),
    ],
)
def test_seeds_need_what_can_be_resumed(seed, loop, num_workers, message):
    runner = SimpleNamespace(
        cfg=Config({'randomness': {'seed': seed}}),
        train_loop=object.__new__(loop),
        train_dataloader=SimpleNamespace(num_workers=num_workers),
    )
    with pytest.raises(ValueError, match=message):
        SeedByIterationHook().before_train(runner)
