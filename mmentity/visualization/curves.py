"""Curves of a training, from the scalars that mmengine logs."""

import json
import logging
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
    # pyplot would start an interactive backend, a bare figure needs no screen
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout='constrained')
    FigureCanvasAgg(figure)
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
