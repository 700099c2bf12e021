"""Pages that stand at the root of the repository, and links that lead there.

A page of the site that stands in ``PAGES`` begins with a file of the root. Relative links are
written for the file view of a forge; what leads to such a file leads to its page here, and
what leads to another file outside of docs/ becomes code.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs'
PAGES = {'index': 'README.md', 'changelog': 'CHANGELOG.md', 'contributing': 'CONTRIBUTING.md'}
LINK = re.compile(r'(!?)\[([^\]\[]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)')


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the file of the root before the page, and lead all links to their places."""
    folder = (DOCS / docname).parent
    text = relink(source[0], folder, folder)
    if docname in PAGES:
        app.env.note_dependency(str(ROOT / PAGES[docname]))
        root_page = (ROOT / PAGES[docname]).read_text(encoding='utf-8')
        text = f'{relink(root_page, ROOT, folder)}\n{text}'
    source[0] = text


def relink(text: str, written_in: Path, shown_in: Path) -> str:
    """Rewrite the relative links of a text; those that lead nowhere stay, for Sphinx to report."""

    def replace(match: re.Match[str]) -> str:
        mark, label, target, anchor = match.groups(default='')
        path = (written_in / target).resolve()
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ''
        page = next((page for page, file in PAGES.items() if file == name), None)
        if page is not None:
            path = DOCS / f'{page}.md'
        elif path.exists() and not path.is_relative_to(DOCS):
            return f'{label} (`{name}`)'
        return f'{mark}[{label}]({os.path.relpath(path, shown_in)}{anchor})'

    return LINK.sub(replace, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect('source-read', read_page)
    return {'parallel_read_safe': True}
