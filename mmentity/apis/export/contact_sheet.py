"""A page with the results of a folder, which opens without a server."""

import html
import json
import os
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Optional
from urllib.parse import quote

from mmentity.utils.files import whole_file

PAGE = Path(__file__).parent / 'contact_sheet.html'


def write_contact_sheet(
    out: Path,
    sidecars: Sequence[Path],
    failures: Sequence[dict] = (),
    scratch: Optional[Path] = None,
) -> Path:
    """Write ``index.html`` over the results of a run.

    The page shows each picture with its entities (the picture alone under the
    pointer), sorts by name, number of entities and best score, finds names, and
    lists failures. It refers to files in ``out`` and to nothing else.

    Args:
        out: Output folder.
        sidecars: Sidecars of the pictures; those without thumbnails are left out.
        failures: Records with ``name``, ``path`` and ``reason``.
        scratch: Where it is written before it gets its name.

    Returns:
        Path of the page.
    """
    out = Path(out)
    cards = []
    for path in sidecars:
        record = json.loads(path.read_text())
        files = record.get('files', {})
        if 'sheet' in files:
            cards.append(_card(record, files))
    page = Template(PAGE.read_text(encoding='utf-8')).substitute(
        title=html.escape(os.path.basename(os.path.abspath(out))),
        count=f'{len(cards):,}',
        cards='\n'.join(cards),
        failures=_failures(failures),
    )
    with whole_file(out / 'index.html', scratch) as partial:
        partial.write_text(page, encoding='utf-8')
    return out / 'index.html'


def _card(record: dict, files: dict) -> str:
    entities = record['entities']
    best = max((entity['score'] for entity in entities), default=0)
    name = html.escape(record['name'], quote=True)
    large = quote(files.get('overlay', files['sheet']))
    number = '1 entity' if len(entities) == 1 else f'{len(entities)} entities'
    size = f'{record["width"]} x {record["height"]}'
    best_text = f', best {best:.2f}' if entities else ''
    return (
        f'<a class="card" href="{large}" data-name="{name}" data-count="{len(entities)}" '
        f'data-score="{best}"><span class="pair"><img loading="lazy" alt="entities of {name}" '
        f'src="{quote(files["sheet"])}"><img loading="lazy" class="plain" alt="{name}" '
        f'src="{quote(files["sheet_picture"])}"></span><b>{name}</b>'
        f'<small>{number}{best_text} · {size}</small></a>'
    )


def _failures(failures: Sequence[dict]) -> str:
    if not failures:
        return ''
    rows = ''.join(
        f'<tr><td>{html.escape(failure["name"])}</td><td>{html.escape(failure["reason"])}</td></tr>'
        for failure in failures
    )
    title = f'{len(failures)} failed'
    return f'<details open><summary>{title}</summary><table>{rows}</table></details>'
