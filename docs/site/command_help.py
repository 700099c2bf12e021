"""The directive ``command-help``: a section for each command, with what ``-h`` prints."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mmentity.cli.program import COMMANDS, build_parser, import_command


class CommandHelp(SphinxDirective):
    """Sections of all commands, in the order of the program."""

    def run(self) -> list[nodes.Node]:
        """Make the sections."""
        return [self._section(name, summary) for name, summary in COMMANDS.items()]

    def _section(self, name: str, summary: str) -> nodes.section:
        text = build_parser(name, import_command(name)).format_help()
        section = nodes.section(ids=[name])
        section += nodes.title(text=f'mmentity {name}')
        section += nodes.paragraph(text=f'{summary[0].upper()}{summary[1:]}.')
        section += nodes.literal_block(text, text, language='text')
        return section


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive('command-help', CommandHelp)
    return {'parallel_read_safe': True}
