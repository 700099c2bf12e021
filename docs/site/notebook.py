"""Notebooks as pages: their text and their code, without running them."""

import json

from docutils import nodes
from myst_parser.sphinx_ import Parser
from sphinx.application import Sphinx


class NotebookParser(Parser):
    """Makes a page of MyST of a notebook and parses that."""

    supported = ('notebook',)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Parse the json of a notebook."""
        cells = json.loads(inputstring)['cells']
        super().parse('\n\n'.join(map(_as_markdown, cells)), document)


def _as_markdown(cell: dict) -> str:
    text = ''.join(cell['source'])
    return f'```ipython3\n{text}\n```' if cell['cell_type'] == 'code' else text


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_source_suffix('.ipynb', 'notebook')
    app.add_source_parser(NotebookParser)
    return {'parallel_read_safe': True}
