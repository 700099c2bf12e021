"""A page with the results of a folder, which opens without a server."""

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple, Optional
from urllib.parse import quote

from mmentity.utils.files import whole_file

PAGE = Path(__file__).parent / 'contact_sheet.html'


class Card(NamedTuple):
    """What the page shows of one image: size in px, best score or 0, files by format."""

    name: str
    width: int
    height: int
    num_entities: int
    best_score: float
    files: dict[str, str]


def card_of(record: dict[str, Any]) -> Card:
    """Make a card of the content of a sidecar."""
    scores = [entity['score'] for entity in record['entities']]
    return Card(
        record['name'],
        record['width'],
        record['height'],
        len(scores),
        max(scores, default=0),
        record.get('files', {}),
    )


def write_contact_sheet(
    out: Path,
    cards: Iterable[Card],
    failures: Sequence[dict[str, Any]] = (),
    scratch: Optional[Path] = None,
) -> Path:
    """Write ``index.html`` over the results of a run.

    The page shows each image with its entities (the image alone under the
    pointer), sorts by name, number of entities and best score, finds names, and
    lists failures. It refers to files in ``out`` and to nothing else.

    Args:
        out: Output folder.
        cards: Cards of the images; those without thumbnails are not shown.
        failures: Records with ``name``, ``path`` and ``reason``.
        scratch: Where it is written before it gets its name.

    Returns:
        Path of the page.
    """
    out = Path(out)
    shown = [_card_html(card) for card in cards if 'sheet' in card.files]
    page = Template(PAGE.read_text(encoding='utf-8')).substitute(
        title=html.escape(os.path.basename(os.path.abspath(out))),
        count=f'{len(shown):,}',
        cards='\n'.join(shown),
        failures=_failures_html(failures),
    )
    with whole_file(out / 'index.html', scratch) as partial:
        partial.write_text(page, encoding='utf-8')
    return out / 'index.html'


def _card_html(card: Card) -> str:
    name, number = html.escape(card.name, quote=True), card.num_entities
    large = quote(card.files.get('overlay', card.files['sheet']))
    counted = '1 entity' if number == 1 else f'{number} entities'
    best = f', best {card.best_score:.2f}' if number else ''
    return (
        f'<a class="card" href="{large}" data-name="{name}" data-count="{number}" '
        f'data-score="{card.best_score}"><span class="pair">'
        f'<img loading="lazy" alt="entities of {name}" src="{quote(card.files["sheet"])}">'
        f'<img loading="lazy" class="plain" alt="{name}" src="{quote(card.files["sheet_image"])}">'
        f'</span><b>{name}</b><small>{counted}{best} · {card.width} x {card.height}</small></a>'
    )


def _failures_html(failures: Sequence[dict[str, Any]]) -> str:
    if not failures:
        return ''
    rows = ''.join(
        f'<tr><td>{html.escape(failure["name"])}</td><td>{html.escape(failure["reason"])}</td></tr>'
        for failure in failures
    )
    title = f'{len(failures)} failed'
    return f'<details open><summary>{title}</summary><table>{rows}</table></details>'
