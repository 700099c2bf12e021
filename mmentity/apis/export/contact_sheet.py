"""A page with the results of a folder, which opens without a server."""

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from mmentity.utils.files import whole_file

PAGE = Path(__file__).parent / 'contact_sheet.html'


def write_contact_sheet(
    out: Path,
    records: Iterable[dict[str, Any]],
    failures: Sequence[dict[str, Any]],
    scratch: Path,
) -> None:
    """Write ``index.html`` over the results of a run.

    The page shows each image with its entities (the image alone under the
    pointer, or all of them at a click), sorts by name, and by number of entities and
    best score in both directions, finds names, and lists failures. It refers to files in
    the output folder and to nothing else.
    Images whose record, the content of a sidecar, has no thumbnails are not shown.
    """
    shown = [_card(record) for record in records if 'sheet' in record.get('files', ())]
    page = Template(PAGE.read_text(encoding='utf-8')).substitute(
        title=html.escape(os.path.basename(os.path.abspath(out))),
        count='1 image' if len(shown) == 1 else f'{len(shown):,} images',
        cards='\n'.join(shown),
        failures=_failures(failures),
    )
    with whole_file(out / 'index.html', scratch) as partial:
        partial.write_text(page, encoding='utf-8')


def _card(record: dict[str, Any]) -> str:
    name, files = html.escape(record['name'], quote=True), record['files']
    scores = [entity['score'] for entity in record['entities']]
    number, best = len(scores), max(scores, default=0)
    large = quote(files.get('overlay', files['sheet']))
    counted = '1 entity' if number == 1 else f'{number} entities'
    if number:
        counted += f', best {best:.2f}'
    return (
        f'<a class="card" href="{large}" data-name="{name}" data-count="{number}" '
        f'data-score="{best}"><span class="pair">'
        f'<img loading="lazy" alt="entities of {name}" src="{quote(files["sheet"])}">'
        f'<img loading="lazy" class="plain" alt="{name}" src="{quote(files["sheet_image"])}">'
        f'</span><b>{name}</b><small>{counted} · {record["width"]} x {record["height"]}</small></a>'
    )


def _failures(failures: Sequence[dict[str, Any]]) -> str:
    if not failures:
        return ''
    rows = ''.join(
        f'<dt>{html.escape(failure["name"])}</dt><dd>{html.escape(failure["reason"])}</dd>'
        for failure in failures
    )
    title = f'{len(failures)} failed'
    return f'<details open><summary>{title}</summary><dl>{rows}</dl></details>'
