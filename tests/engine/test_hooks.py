import json
import logging
from types import SimpleNamespace

from mmengine.runner import FlexibleRunner

from mmentity.engine import CurvesHook, SafeCheckpointHook


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
