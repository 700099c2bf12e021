"""The trainings of the demo: which there are, and how they run side by side."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.config import Config

from mmentity.visualization.curves import read_scalars

RUNS = Path('work_dirs')
# settings that a work directory must share with its config, or it is of another recipe
RECIPE = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg')


class Stage(NamedTuple):
    """One training.

    Attributes:
        config: Config of the model, without folder and suffix.
        title: What it is, for the progress.
        start: Config whose trained weights it begins with, or None.
        cost: Time of an iteration over that of Mask2Former.
    """

    config: str
    title: str
    start: Optional[str] = None
    cost: float = 1.0

    @property
    def path(self) -> str:
        """Path of the config."""
        return f'configs/demo/{self.config}.py'

    @property
    def work_dir(self) -> Path:
        """Work directory."""
        return RUNS / self.config

    @property
    def max_iters(self) -> int:
        """Iterations of the whole training."""
        return Config.fromfile(self.path).train_cfg.max_iters

    @property
    def last(self) -> Path:
        """The checkpoint of a finished training."""
        return self.work_dir / f'iter_{self.max_iters}.pth'


FIRST = Stage('mask2former_swin-nano_demo', 'Mask2Former from nothing')
STAGES = {
    stage.config: stage
    for stage in (
        FIRST,
        Stage('mask2former_swin-nano_demo_finetune', 'Mask2Former from it', FIRST.config),
        Stage('cropformer_swin-nano_demo', 'CropFormer from it', FIRST.config, cost=2.1),
        *(
            Stage(f'{FIRST.config}_{task}', f'Mask2Former, {task}')
            for task in ('instance', 'semantic', 'panoptic')
        ),
    )
}


def say(text: str, end: str = '\n') -> None:
    """Print a step with the time of day."""
    print(f'[{time.strftime("%H:%M:%S")}] {text}', end=end, flush=True)


def stages_of(configs: Sequence[str]) -> list[Stage]:
    """List the trainings that some models need, each after the one that it begins with."""
    needed: dict[str, None] = {}
    for config in configs:
        start = STAGES[config].start
        needed.update(dict.fromkeys([start] if start else []))
        needed[config] = None
    return [STAGES[config] for config in needed]


def train(stages: Sequence[Stage], together: Optional[int] = None) -> None:
    """Train the stages, or what is left of them, as many side by side as there are cores.

    Args:
        stages: Each after the one that it begins with.
        together: How many run at a time; by default as many as there are cores.
    """
    together = together or os.cpu_count() or 1
    waiting, running = list(stages), {}
    with _stopping(running), _progress(stages, together) as show:
        while waiting or running:
            for stage in [s for s in waiting if _is_ready(s, [*waiting, *running])]:
                if len(running) < together:
                    waiting.remove(stage)
                    process = _start(stage, _title(stages, stage))
                    running.update({stage: process} if process else {})
            for stage, process in list(running.items()):
                if process.poll() is not None:
                    del running[stage]
                    check_finished(process, stage.work_dir / 'output.txt', _title(stages, stage))
            if running:
                show(list(running), waiting)
                time.sleep(1)


def run(arguments: Sequence[str], log: Path, title: str) -> None:
    """Run a command of mmentity with its output in a file, and stop if it fails."""
    process = _launch(arguments, log, title)
    try:
        process.wait()
    except KeyboardInterrupt:
        # it was interrupted, too
        process.wait()
        raise
    check_finished(process, log, title)


def _launch(arguments: Sequence[str], log: Path, title: str, **env: str) -> subprocess.Popen:
    say(f'{title}: mmentity {" ".join(arguments)}')
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as output:
        command = [sys.executable, '-m', 'mmentity', *arguments]
        env = {**os.environ, **env}
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)


def check_finished(process: subprocess.Popen, log: Path, title: str) -> None:
    """Exit with the end of its output if a command failed."""
    if process.returncode != 0:
        lines = log.read_text(errors='replace').splitlines()
        sys.exit('\n'.join([*lines[-20:], f'{title} failed; its output is in {log}']))


def _start(stage: Stage, title: str) -> Optional[subprocess.Popen]:
    """Start or continue a training; None where it is finished."""
    check_work_dir(stage)
    if stage.last.is_file():
        say(f'{title}: finished in {stage.work_dir}')
        return None
    options = ['--work-dir', str(stage.work_dir)]
    if (stage.work_dir / 'last_checkpoint').is_file():
        options.append('--resume')
    elif stage.start is not None:
        options += ['--cfg-options', f'load_from={STAGES[stage.start].last}']
    # so small a model is no faster with more threads, and its numbers do not depend on the cores
    arguments = ['train', stage.path, *options]
    return _launch(arguments, stage.work_dir / 'output.txt', title, OMP_NUM_THREADS='1')


def _is_ready(stage: Stage, unfinished: Sequence[Stage]) -> bool:
    return stage.start not in [other.config for other in unfinished]


def _title(stages: Sequence[Stage], stage: Stage) -> str:
    return f'stage {list(stages).index(stage) + 1} of {len(stages)}, {stage.title}'


@contextlib.contextmanager
def _stopping(running: dict[Stage, subprocess.Popen]) -> Iterator[None]:
    """End what still runs when something ends the others, and wait for it."""
    try:
        yield
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


@contextlib.contextmanager
def _progress(stages: Sequence[Stage], together: int) -> Iterator[Any]:
    """Show how far the trainings are, whenever one has logged."""
    last = None

    def show(running: Sequence[Stage], waiting: Sequence[Stage]) -> None:
        nonlocal last
        rows = {stage: _last_row(stage) for stage in running}
        rows = {stage: row for stage, row in rows.items() if row}
        if rows and rows != last:
            last = rows
            text = progress(stages, rows, waiting, together)
            if sys.stdout.isatty():
                columns = shutil.get_terminal_size().columns - len('[00:00:00] ') - 1
                say(f'\033[K{text[:columns]}', end='\r')
            else:
                say(text)

    yield show
    if last is not None and sys.stdout.isatty():
        print()


def _last_row(stage: Stage) -> Optional[dict[str, Any]]:
    """Scalars that a training logged last."""
    return next((r for r in reversed(read_scalars(stage.work_dir)) if 'loss' in r), None)


def progress(
    stages: Sequence[Stage],
    rows: dict[Stage, dict[str, Any]],
    waiting: Sequence[Stage],
    together: int,
) -> str:
    """Say the time left, of all and of each training that runs, its iteration and loss.

    Args:
        stages: All stages.
        rows: Scalars that those that run logged last.
        waiting: Those that come later.
        together: How many run at a time.
    """
    left = {stage: row['time'] * (stage.max_iters - row['step']) for stage, row in rows.items()}
    of_mask2former = max(row['time'] / stage.cost for stage, row in rows.items())
    slots = sorted([*left.values(), *[0.0] * together])[-max(together, len(left)) :]
    ends = {stage.config: seconds for stage, seconds in left.items()}
    for stage in waiting:
        begin = max(min(slots), ends.get(stage.start or '', 0.0))
        end = begin + (0 if stage.last.is_file() else of_mask2former * stage.cost * stage.max_iters)
        slots[slots.index(min(slots))] = ends[stage.config] = end
    parts = [
        f'{_title(stages, stage)}: iteration {row["step"]:,} of {stage.max_iters:,}, '
        f'loss {row["loss"]:.2f}, {minutes(left[stage])} left'
        for stage, row in rows.items()
    ]
    return '; '.join([f'{minutes(max(slots))} for all', *parts])


def minutes(seconds: float) -> str:
    """Write a time, rounded up to half minutes."""
    return f'{np.ceil(seconds / 30) / 2:.3g} min'


def check_work_dir(stage: Stage) -> None:
    """Refuse to continue what was begun with other settings or other weights."""
    begun = stage.work_dir / f'{stage.config}.py'
    if not begun.is_file():
        return
    old, new = Config.fromfile(begun), Config.fromfile(stage.path)
    changed = [key for key in RECIPE if old.get(key) != new.get(key)]
    if changed:
        sys.exit(
            f'{stage.work_dir} was trained with other settings ({", ".join(changed)}); remove it '
            'or move it away'
        )
    start = STAGES[stage.start].last if stage.start else None
    if start and start.is_file() and start.stat().st_mtime > begun.stat().st_mtime:
        sys.exit(f'{stage.work_dir} is older than {start}; remove it or move it away')
