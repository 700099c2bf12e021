"""Write the tables of docs/performance.md from the figures in benchmarks/results.

python benchmarks/tables.py
"""

import json
import re
from pathlib import Path

from mmentity.files import whole_file

HERE = Path(__file__).parent
PAGE = HERE.parent / 'docs' / 'performance.md'


def table(rows: list) -> str:
    """Render the rows of one benchmark; what a case asks for comes first."""
    keys = list(dict.fromkeys(key for row in rows for key in row['case']))
    figures = list(dict.fromkeys(key for row in rows for key in row['figures']))
    figures = [key for key in figures if key not in ('seconds', 'median_s', 'stages_s')]
    lines = [_line([*keys, *figures, 'runs']), _line(['---'] * (len(keys) + len(figures) + 1))]
    for row in rows:
        values = [row['case'].get(key, '') for key in keys]
        values += [row['figures'].get(key, '') for key in figures]
        runs = len(row['figures'].get('seconds', [])) or ''
        lines.append(_line([*(_text(value) for value in values), runs]))
    return '\n'.join([*lines, '', f'Measured on {_environment(rows[-1]["environment"])}.'])


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
        return ' x '.join(map(str, value))
    if isinstance(value, dict):
        return ', '.join(f'{key} {_text(item)}' for key, item in value.items())
    return f'{value:.3g}' if isinstance(value, float) else str(value)


def main() -> None:
    """Replace what stands between the marks of each benchmark."""
    page = PAGE.read_text()
    for path in sorted((HERE / 'results').glob('*.json')):
        marks = (f'<!-- {path.stem} -->', f'<!-- end of {path.stem} -->')
        if marks[0] not in page:
            raise SystemExit(f'{PAGE.name} has no marks {marks[0]} and {marks[1]} for {path.name}')
        text = '\n'.join([marks[0], table(json.loads(path.read_text())), marks[1]])
        pattern = re.escape(marks[0]) + '.*?' + re.escape(marks[1])
        page = re.sub(pattern, lambda _, text=text: text, page, flags=re.DOTALL)
    with whole_file(PAGE) as partial:
        partial.write_text(page)


if __name__ == '__main__':
    main()
