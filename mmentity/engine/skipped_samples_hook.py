"""Report of the samples that training had to skip."""

import json
from collections import Counter
from pathlib import Path
from typing import Optional

from mmengine.dist import collect_results, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmentity.registry import HOOKS
from mmentity.utils.files import whole_file


@HOOKS.register_module()
class SkippedSamplesHook(Hook):
    """Name bad training samples as they appear and count them at the end.

    A dataset hands over the messages of :class:`SampleError` with the sample that
    took the place of the bad one. The end of training lists each message with its
    count in the log and in ``skipped_samples.json`` of the work directory.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Collect what the samples of this batch replaced."""
        for sample in (data_batch or {}).get('data_samples', ()):
            for message in sample.metainfo.get('skipped_samples', ()):
                if message not in self.counts:
                    runner.logger.warning(f'A training sample is skipped: {message}')
                self.counts[message] += 1

    def after_train(self, runner: Runner) -> None:
        """Report all skipped samples of all processes."""
        gathered = collect_results([dict(self.counts)], size=runner.world_size, device='cpu')
        if not is_main_process():
            return
        counts: Counter[str] = sum(map(Counter, gathered), Counter())
        if not counts:
            runner.logger.info('No training sample was skipped.')
            return
        path = Path(runner.work_dir) / 'skipped_samples.json'
        with whole_file(path) as partial:
            partial.write_text(json.dumps(counts, indent=2))
        lines = [f'{count} x {message}' for message, count in counts.most_common()]
        runner.logger.warning(
            f'{len(counts)} training samples were skipped {sum(counts.values())} times '
            f'(see {path}):\n' + '\n'.join(lines)
        )
