"""Plots of the statistics of a dataset; what there is only one value of gets no plot."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmentity.utils.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# COCO's limits between small, medium and large, px
SMALL, LARGE = 32**2, 96**2
MOST_CLASSES, MOST_SIZES = 30, 12

Panel = Callable[['Axes'], None]


def draw_statistics(
    title: str,
    counts: Sequence[int],
    areas: np.ndarray,
    sizes: np.ndarray,
    classes: Sequence[dict[str, Any]],
    path: Path,
) -> None:
    """Draw the panels that there are data for as one PNG.

    Args:
        title: What is written above.
        counts: Entities of each image.
        areas: Area of each entity in px, ``(K,)``.
        sizes: Height and width of each image in px, ``(N, 2)``.
        classes: ``id``, ``name`` and ``entities`` of each class, the most frequent first.
        path: Where to write.
    """
    # pyplot would start an interactive backend; a figure of its own needs no screen
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known_sizes = Counter(map(tuple, sizes.tolist()))
    panels: list[Panel] = []
    if len(counts):
        panels.append(lambda axes: _draw_counts(axes, counts))
    if len(areas):
        panels.append(lambda axes: _draw_areas(axes, areas))
    if len(known_sizes) > 1:
        panels.append(lambda axes: _draw_sizes(axes, known_sizes))
    elif known_sizes:
        ((height, width),) = known_sizes
        title += f', all {width} x {height} px'
    if len(classes) > 1:
        panels.append(lambda axes: _draw_classes(axes, classes))
    rows = 1 if len(panels) < 3 else 2
    columns = max(1, -(-len(panels) // rows))
    figure = Figure(figsize=(6 * columns, 4.5 * rows), layout='constrained')
    FigureCanvasAgg(figure)
    for number, draw in enumerate(panels):
        # the last of three is as wide as the two above
        is_alone = number == 2 and len(panels) == 3
        draw(figure.add_subplot(rows, columns, (3, 4) if is_alone else number + 1))
    figure.suptitle(title)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110)


def _draw_counts(axes: 'Axes', counts: Sequence[int]) -> None:
    axes.hist(counts, bins=(np.arange(max(counts) + 2) - 0.5).tolist(), color='tab:blue')
    axes.set(xlabel='entities of an image', ylabel='images')
    axes.locator_params(axis='both', integer=True)


def _draw_areas(axes: 'Axes', areas: np.ndarray) -> None:
    sides = np.sqrt(np.maximum(areas, 1))
    axes.hist(sides, bins=np.geomspace(1, sides.max() + 1, 50).tolist(), color='tab:orange')
    axes.set(xscale='log', xlabel='square root of the area of an entity, px', ylabel='entities')
    for limit, name in ((SMALL, 'medium'), (LARGE, 'large')):
        axes.axvline(limit**0.5, color='black', linestyle='--', linewidth=1)
        axes.annotate(f' {name}', (limit**0.5, 0.97), xycoords=('data', 'axes fraction'), va='top')


def _draw_sizes(axes: 'Axes', sizes: Counter[tuple[int, int]]) -> None:
    """Draw few sizes as bars, since a few points look like an empty plot."""
    if len(sizes) > MOST_SIZES:
        heights, widths = zip(*sizes)
        share = np.array(list(sizes.values())) / max(sizes.values())
        axes.scatter(widths, heights, s=8 + 80 * share, alpha=0.4, color='tab:green')
        axes.set(xlabel='width, px', ylabel='height, px', xlim=(0, None), ylim=(0, None))
        return
    rows = sizes.most_common()[::-1]
    names = [f'{width} x {height}' for (height, width), _ in rows]
    axes.barh(names, [count for _, count in rows], color='tab:green')
    axes.set(xlabel='images', ylabel='width x height, px')
    axes.locator_params(axis='x', integer=True)


def _draw_classes(axes: 'Axes', classes: Sequence[dict[str, Any]]) -> None:
    rows = classes[:MOST_CLASSES][::-1]
    names = [
        f'class {row["id"]}' if row['name'] == str(row['id']) else f'{row["name"]} ({row["id"]})'
        for row in rows
    ]
    axes.barh(names, [row['entities'] for row in rows])
    shown = f'{len(rows)} of {len(classes)} classes' if len(rows) < len(classes) else 'classes'
    axes.set(xlabel='entities', title=shown)
    axes.tick_params(axis='y', labelsize=7)
