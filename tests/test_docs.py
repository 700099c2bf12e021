"""Commands in README and docs: each is one of ours, with arguments that it takes."""

import re
import shlex

import pytest

from mmentity.cli.program import COMMANDS, build_parser, import_command
from tests.conftest import ROOT

PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]


def documented_commands():
    """Page and arguments of every call of ``mmentity`` in a block of shell code."""
    for page in PAGES:
        for block in re.findall(r'```bash\n(.*?)```', page.read_text(), flags=re.DOTALL):
            for line in block.replace('\\\n', ' ').splitlines():
                # a loop of the shell counts with $i
                line = re.sub(r'\$\(\(.*?\)\)|\$\w+', '1', line.strip().rstrip('&'))
                words = shlex.split(line, comments=True)
                words = words[words.index('-m') + 1 :] if words[:1] == ['torchrun'] else words
                if words[:1] == ['mmentity']:
                    yield page.relative_to(ROOT).as_posix(), words[1:]


DOCUMENTED = list(documented_commands())


def test_every_command_is_documented():
    assert {words[0] for _, words in DOCUMENTED} == set(COMMANDS)


@pytest.mark.parametrize(
    ('page', 'words'),
    DOCUMENTED,
    ids=lambda value: ' '.join(value)[:60] if isinstance(value, list) else value,
)
def test_documented_arguments_are_known(page, words):
    assert words[0] in COMMANDS, page
    parser = build_parser(words[0], import_command(words[0]))
    try:
        parser.parse_args(words[1:])
    except SystemExit as end:
        pytest.fail(f'{page}: mmentity {" ".join(words)} ends with {end.code}')
