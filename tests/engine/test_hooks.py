import json
import logging
from types import SimpleNamespace

from mmentity.engine import CurvesHook


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
