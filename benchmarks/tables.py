"""Write the tables of docs/performance.md from the measurements in benchmarks/results.

python benchmarks/tables.py
"""

import json
import re
from functools import partial
from pathlib import Path

import gpu

from mmentity.utils.files import whole_file

HERE = Path(__file__).parent
PAGE = HERE.parent / 'docs' / 'performance.md'


# what a plain case is called, in place of which value of which key
BASELINES = {
    'fusion': ('step', '{} plain'),
    'scoring': ('variant', 'pycocotools'),
    'loading': ('pipeline', 'masks'),
    'forward': ('variant', 'plain'),
    'training': ('variant', 'plain'),
}
# cases that are there for the plots of growth, and options of the network
GROWTH = {
    'fusion': {'queries', 'owners', 'views'},
    'loading': {'size', 'entities'},
    'forward': {'views', 'queries'},
    'training': {'entities'},
}
OPTIONS = {'max_memory_mb', 'with_cp', 'amp', 'memory_format', 'compile', 'precision'}
# measurements whose tables are on other pages
ELSEWHERE = ('models', 'onnx_runtime')
HIDDEN = {'seconds', 'median_s', 'median_cpu_s', 'peak_mib', 'stages_s', 'limit'}


def table(name: str, rows: list) -> str:
    """Render the rows of one benchmark beside the plain case of each."""
    rows = [row for row in rows if not GROWTH.get(name, set()) & row['case'].keys()]
    measured = [row for row in rows if 'peak_mib' in row['measured']]
    head = [
        'case',
        'time, s',
        'CPU time, s',
        'memory, MiB',
        'against',
        'times faster',
        'times less',
    ]
    lines = [_line(head), _line(['---'] * len(head))]
    for row in measured:
        of_row = row['measured']
        against, other = _baseline_of(name, row['case'], measured)
        ratios = [
            f'{other[key] / of_row[key]:.3g} x' if other else '' for key in ('median_s', 'peak_mib')
        ]
        values = [of_row['median_s'], of_row['median_cpu_s'], of_row['peak_mib']]
        lines.append(_line([_text(row['case']), *map(_text, values), against, *ratios]))
    runs = sorted({len(row['measured']['seconds']) for row in measured})
    lines += ['', f'Medians of {" or ".join(map(str, runs))} runs; the highest of their memory.']
    for row in rows:
        others = {key: value for key, value in row['measured'].items() if key not in HIDDEN}
        if others:
            lines += [f'{_text(row["case"])}: {_text(others)}.']
        if 'stages_s' in row['measured']:
            lines += [
                f'{_text(row["case"])}, s of each stage: {_text(row["measured"]["stages_s"])}.'
            ]
        if 'limit' in row['measured']:
            lines += ['', f'{_text(row["case"])}:', '', *_limit_table(row['measured'])]
    return '\n'.join([*lines, '', f'Measured on {_environment(measured[-1]["environment"])}.'])


def _limit_table(measured: dict) -> list:
    """Multiply-adds of each stage, and their rate as a share of that of a plain product."""
    head = ['stage', 'multiply-adds, 10^9', 'CPU time, s', '10^9 a second', 'of a plain product']
    lines = [_line(head), _line(['---'] * len(head))]
    for name, row in measured['limit'].items():
        values = [_text(row[key]) for key in ('gmac', 'cpu_s', 'gmac_s')]
        lines.append(_line([name, *values, f'{row["share"]:.0%}']))
    return [*lines, '']


def gpu_table(rows: list) -> str:
    """Render every case of the benchmark on a GPU, with those that were not measured."""
    found = {json.dumps(row['case'], sort_keys=True): row for row in rows}
    head = ['case', 'time, s', 'images a second', 'memory, MiB', 'share of each stage', 'on']
    lines = [_line(head), _line(['---'] * len(head))]
    for case in json.loads(json.dumps(gpu.cases())):
        measured = found.get(json.dumps(case, sort_keys=True), {}).get('measured', {})
        if 'median_s' not in measured:
            reason = measured.get('not_measured', 'not measured')
            lines.append(_line([_text(case), reason, '', '', '', measured.get('gpu', '')]))
            continue
        shares = ', '.join(f'{k} {v:.0%}' for k, v in measured.get('stages', {}).items() if v)
        values = [_text(measured.get(key, '')) for key in ('median_s', 'images_s', 'peak_mib')]
        lines.append(_line([_text(case), *values, shares, measured['gpu']]))
    if rows:
        lines += ['', f'Measured on {_environment(rows[-1]["environment"])}.']
    return '\n'.join(lines)


def growth_table(rows: list) -> str:
    """Render the memory of runs of training steps, one after the other in one process."""
    (row,) = rows
    head = ['run', *range(1, len(row['measured']['resident_mib']) + 1)]
    lines = [_line(head), _line(['---'] * len(head))]
    lines.append(_line(['MiB', *row['measured']['resident_mib']]))
    return '\n'.join([*lines, '', f'Measured on {_environment(row["environment"])}.'])


def tiles_table(rows: list) -> str:
    """Render AP^e of views and tiles on each kind of images, and memory."""
    kinds = {
        'scenes': [row for row in rows if row['case'].get('images') == 'scenes'],
        'mosaics of 4 x 4 scenes': [row for row in rows if row['case'].get('images') == 'mosaics'],
        'mosaic of 8 x 8 scenes': [row for row in rows if 'mosaic' in row['case']],
    }
    head = ['images', 'way', 'AP^e', 'AP^e_50', 'small', 'medium', 'large']
    lines = [_line(head), _line(['---'] * len(head))]
    for kind, of_kind in kinds.items():
        for row in of_kind:
            values = [row['measured'][f'APe{key}'] for key in ('', '_50', '_s', '_m', '_l')]
            lines.append(_line([kind, row['case']['way'], *(f'{v:.1f}' for v in values)]))
    head = ['a TIFF of', 'px', 'entities', 'memory above the model, MiB']
    lines += ['', _line(head), _line(['---'] * len(head))]
    for row in (row for row in rows if 'memory' in row['case']):
        number, of_row = row['case']['memory'], row['measured']
        kind = 'colours' if number == 'blank' else f'{number} x {number} scenes'
        size = f'{of_row["height"]:,} x {of_row["width"]:,}'
        lines.append(_line([kind, size, of_row['entities'], of_row['above_the_model_mib']]))
    return '\n'.join([*lines, '', f'Measured on {_environment(rows[-1]["environment"])}.'])


RENDERERS = {'gpu': gpu_table, 'tiles': tiles_table, 'training_growth': growth_table}


def _baseline_of(name: str, case: dict, rows: list) -> tuple:
    """Name and measurements of what a case is compared with; empty where that was not measured."""
    key, word = BASELINES[name]
    options = case.keys() & OPTIONS
    baseline = {k: value for k, value in case.items() if k not in options}
    against = 'the same without' if options else word.format(case[key])
    if not options:
        baseline[key] = against
    found = [row['measured'] for row in rows if row['case'] == baseline != case]
    return (against, found[0]) if found else ('', {})


def _environment(environment: dict) -> str:
    versions = {
        key: value
        for key, value in environment.items()
        if key not in ('cpu', 'threads', 'memory_gib', 'commit')
    }
    named = ', '.join(f'{key} {value}' for key, value in versions.items())
    return (
        f'{environment["cpu"]}, {environment["threads"]} thread(s), '
        f'{environment["memory_gib"]} GiB; {named}; commit {environment["commit"]}'
    )


def _line(values: list) -> str:
    return '| ' + ' | '.join(str(value) for value in values) + ' |'


def _text(value: object) -> str:
    if isinstance(value, list):
        return (' x ' if isinstance(value[0], int) else ' and ').join(map(str, value))
    if isinstance(value, dict):
        return ', '.join(f'{key} {_text(item)}' for key, item in value.items())
    if isinstance(value, float) and value >= 1000:
        return f'{value:,.0f}'
    return f'{value:.3g}' if isinstance(value, float) else str(value)


def main() -> None:
    """Replace what stands between the marks of each benchmark."""
    page = PAGE.read_text()
    rows_of = {p.stem: json.loads(p.read_text()) for p in (HERE / 'results').glob('*.json')}
    rows_of.setdefault('gpu', [])
    for name in ELSEWHERE:
        rows_of.pop(name, None)
    for name, rows in sorted(rows_of.items()):
        marks = (f'<!-- {name} -->', f'<!-- end of {name} -->')
        if marks[0] not in page:
            raise SystemExit(f'{PAGE.name} has no marks {marks[0]} and {marks[1]} for {name}')
        render = RENDERERS.get(name, partial(table, name))
        text = '\n'.join([marks[0], render(rows), marks[1]])
        pattern = re.escape(marks[0]) + '.*?' + re.escape(marks[1])
        page = re.sub(pattern, lambda _, text=text: text, page, flags=re.DOTALL)
    with whole_file(PAGE) as written:
        written.write_text(page)


if __name__ == '__main__':
    main()
