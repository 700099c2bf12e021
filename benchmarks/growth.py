"""Draw how time and memory grow, from the measurements in benchmarks/results.

python benchmarks/growth.py
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmentity.utils.files import whole_file

HERE = Path(__file__).parent
FIGURES = HERE.parent / 'docs' / 'figures'
MEASURES = {'median_s': 'time, s', 'peak_mib': 'memory above inputs, MiB'}


class Panel(NamedTuple):
    """One column of a figure: time and memory against one quantity.

    Attributes:
        quantity: Label of the axis.
        value: The quantity of a case.
        series: For each label, which cases belong to it.
        theory: Slope that counting operations and values gives, for time and memory,
            in logarithms; None where theory gives no power.
    """

    quantity: str
    value: Callable
    series: dict
    theory: tuple


def matches(**wanted) -> Callable:
    """Cases of these keys and values; ``...`` stands for any value."""

    def check(case: dict) -> bool:
        return case.keys() == wanted.keys() and all(
            value is ... or case[key] == value for key, value in wanted.items()
        )

    return check


def either(*checks: Callable) -> Callable:
    """Cases of one of several kinds."""
    return lambda case: any(check(case) for check in checks)


def pixels(case: dict) -> float:
    """Pixels of the image, or of one view."""
    height, width = case['size']
    return height * width


def number(key: str, default: int) -> Callable:
    """Value of a case, or what it is by default."""
    return lambda case: case.get(key, default)


def covered(case: dict) -> float:
    """Area of all views in areas of the image: crops have 0.7 of both sides."""
    return 1 + 0.49 * (case.get('views', 5) - 1)


def fusion_series(key: str) -> dict:
    """Entity fusion at 2000 x 2667, one value varied."""
    base = {'logits': 'entities', 'step': 'entities', 'size': [2000, 2667]}
    return {'entities': either(matches(**base), matches(**base, **{key: ...}))}


def forward_series(**varied) -> dict:
    """Forward over two views of 480 x 640, one value varied."""
    base = {'variant': 'mmentity', 'views': 2, 'size': [480, 640]}
    return {'forward': either(matches(**base), matches(**{**base, **varied}))}


WITHOUT_JPEG = {'jpeg': False}
PAGES = {
    'fusion': [
        Panel(
            'pixels of the image',
            pixels,
            {
                f'{step}, {kind}': matches(logits=kind, step=step, size=...)
                for step in ('entities', 'semantic', 'panoptic')
                for kind in ('entities', 'noise')
            },
            (1, 1),
        ),
        Panel('queries', number('queries', 100), fusion_series('queries'), (1, 0)),
        Panel('entities', number('owners', 40), fusion_series('owners'), (0.5, 0)),
        Panel('area of all views', covered, fusion_series('views'), (1, 0)),
    ],
    'forward': [
        Panel('pixels of a view', pixels, forward_series(size=...), (1, 1)),
        Panel('queries', number('queries', 100), forward_series(queries=...), (None, None)),
        Panel('views', number('views', 5), forward_series(views=...), (1, 1)),
    ],
    'loading': [
        Panel(
            'pixels of the image',
            pixels,
            {
                name: either(
                    matches(**WITHOUT_JPEG, pipeline=name, size=...),
                    matches(**WITHOUT_JPEG, pipeline=name),
                )
                for name in ('maps', 'masks')
            },
            (1, 1),
        ),
        Panel(
            'entities',
            number('entities', 30),
            {
                name: either(
                    matches(**WITHOUT_JPEG, pipeline=name, entities=...),
                    matches(**WITHOUT_JPEG, pipeline=name),
                )
                for name in ('maps', 'masks')
            },
            (None, None),
        ),
    ],
}
DEFAULT_SIZE = {'loading': [2000, 2667], 'forward': [800, 1088]}


def points_of(rows: list, panel: Panel, check: Callable, measure: str, page: str) -> list:
    """Measured points of one line, sorted."""
    points = {}
    for row in rows:
        if check(row['case']) and measure in row['measured']:
            case = {'size': DEFAULT_SIZE.get(page), **row['case']}
            points[panel.value(case)] = row['measured'][measure]
    return sorted(points.items())


def draw_panel(axis: object, rows: list, panel: Panel, place: int, page: str) -> None:
    """Draw the lines of one measure with their slopes, and the slope of theory."""
    measure = list(MEASURES)[place]
    theory, places = panel.theory[place], set()
    for label, check in panel.series.items():
        points = points_of(rows, panel, check, measure, page)
        if len(points) < 2:
            continue
        x, y = np.array(points).T
        slope = np.polyfit(np.log(x), np.log(y), 1)[0]
        (line,) = axis.plot(x, y, marker='o', markersize=4, label=f'{label}: {slope:.2f}')
        if theory is not None:
            axis.plot(x, y[-1] * (x / x[-1]) ** theory, '--', color=line.get_color(), alpha=0.5)
        places |= set(x)
    axis.set(xscale='log', yscale='log', xlabel=panel.quantity)
    axis.set_xticks(sorted(places), [_short(x) for x in sorted(places)], fontsize=7)
    axis.tick_params(axis='x', which='minor', bottom=False, labelbottom=False)
    axis.set_title(f'slope of theory: {theory:g}' if theory is not None else '', fontsize=8)
    axis.grid(which='both', alpha=0.25)
    low, high = axis.get_ylim()
    if high / low < 10:  # a nearly flat line shall look flat
        middle = (low * high) ** 0.5
        axis.set_ylim(middle / 3.2, middle * 3.2)
    axis.legend(fontsize=6, title='slope measured', title_fontsize=6)


def _short(value: float) -> str:
    """Write a number briefly."""
    return f'{value / 1e6:.2g} M' if value >= 1e4 else f'{value:.3g}'


def main() -> None:
    """Draw a figure for each benchmark that measures growth."""
    for page, panels in PAGES.items():
        rows = json.loads((HERE / 'results' / f'{page}.json').read_text())
        figure = Figure(figsize=(3.4 * len(panels), 5.6), layout='constrained')
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, len(panels), squeeze=False)
        for column, panel in enumerate(panels):
            for place, label in enumerate(MEASURES.values()):
                draw_panel(axes[place][column], rows, panel, place, page)
                axes[place][0].set_ylabel(label)
        with whole_file(FIGURES / f'growth_{page}.png') as partial:
            figure.savefig(partial, dpi=90, format='png')


if __name__ == '__main__':
    main()
