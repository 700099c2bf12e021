"""Curves of a training, from the scalars that mmengine logs."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mmengine.logging import print_log

from mmentity.utils.files import whole_file


def read_scalars(work_dir: Path) -> list[dict[str, Any]]:
    """Read the logged scalars of all runs in a work directory, oldest first.

    Damaged lines are skipped, with one warning for each file.

    Returns:
        One dict for each logged step, with ``step`` and the scalars.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        damaged = []
        for number, line in enumerate(path.read_text(errors='replace').splitlines(), start=1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                damaged.append(number)
        if damaged:
            print_log(
                f'{path} has {len(damaged)} damaged lines, the first is line {damaged[0]}; they '
                'are skipped. A run that was killed, or a full disk, leaves half a line',
                logger='current',
                level=logging.WARNING,
            )
    return [row for row in rows if isinstance(row, dict) and 'step' in row]


def draw_curves(work_dir: Path, metric: str) -> Optional[Path]:
    """Plot the loss and one validation metric against the iteration.

    Where a run was resumed, the newest value of an iteration counts.

    Args:
        work_dir: Work directory of a training.
        metric: Name of the metric, such as ``entity/APe``.

    Returns:
        Path of the PNG, or None where nothing was logged.
    """
    rows = read_scalars(work_dir)
    losses = {row['step']: row['loss'] for row in rows if 'loss' in row}
    values = {row['step']: row[metric] for row in rows if metric in row}
    if not losses:
        return None
    figure = _figure(4)
    left = figure.add_subplot()
    left.plot(*zip(*sorted(losses.items())), color='tab:blue', linewidth=1)
    left.set_xlabel('iteration')
    left.set_ylabel('loss', color='tab:blue')
    left.set_ylim(bottom=0)
    left.grid(alpha=0.3)
    if values:
        right = left.twinx()
        right.plot(*zip(*sorted(values.items())), color='tab:orange', marker='o')
        right.set_ylabel(f'{metric} (%)', color='tab:orange')
        right.set_ylim(0, 100)
    left.set_title(Path(work_dir).name)
    path = Path(work_dir) / 'curves.png'
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=120)
    return path


def draw_branches(path: Path, runs: Sequence[tuple[Path, str, bool]], metric: str) -> Path:
    """Plot trainings that begin with the weights of the first one behind it.

    Args:
        path: PNG to write.
        runs: Work directory and title of each training, and whether it begins where the first
            one of the list ended.
        metric: Name of the metric, such as ``entity/APe``.

    Returns:
        ``path``.
    """
    figure = _figure(5)
    losses, metrics = figure.subplots(2, sharex=True)
    end: tuple[float, Optional[float]] = (0, None)
    for work_dir, title, is_branch in runs:
        rows = read_scalars(work_dir)
        begin, value = end if is_branch else (0, None)
        steps = {row['step'] + begin: row['loss'] for row in rows if 'loss' in row}
        values = {row['step'] + begin: row[metric] for row in rows if metric in row}
        if value is not None:
            values[begin] = value
        (line,) = losses.plot(*_columns(steps), linewidth=1, label=title)
        metrics.plot(*_columns(values), marker='o', color=line.get_color())
        if not is_branch and steps:
            end = (max(steps), values.get(max(steps)))
    losses.set_ylabel('loss (sum of all passes)')
    losses.legend()
    metrics.set_ylabel(f'{metric} (%)')
    metrics.set_xlabel('iteration')
    for axes in (losses, metrics):
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        axes.grid(alpha=0.3)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=120, format='png')
    return path


def _columns(values: dict[int, float]) -> tuple[list[int], list[float]]:
    """Sort values by their key, and give keys and values apart."""
    return sorted(values), [values[key] for key in sorted(values)]


def _figure(height: float) -> Any:
    # pyplot would start an interactive backend, a bare figure needs no screen
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure
