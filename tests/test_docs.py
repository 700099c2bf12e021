"""README and docs: commands and their arguments, links, and statements that were wrong once."""

import re
import shlex

import pytest
from mmengine.config import Config

from mmentity.cli.program import COMMANDS, build_parser, import_command
from mmentity.utils.shipped_configs import CONFIGS, shipped_configs
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


ALL_PAGES = [*PAGES, ROOT / 'CHANGELOG.md', ROOT / 'CONTRIBUTING.md']
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in ALL_PAGES}


def without_code(text):
    return re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)


def anchors_of(text):
    """Anchors of headings, as forges and the site make them."""
    headings = re.findall(r'^#+ (.*)$', without_code(text), flags=re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('name', TEXTS)
def test_links_lead_somewhere(name):
    for target in re.findall(r'\]\((?![a-z]+:)([^)\s]+)\)', without_code(TEXTS[name])):
        path, _, anchor = target.partition('#')
        page = (ROOT / name).parent / path if path else ROOT / name
        assert page.exists(), f'{name} links {target}'
        assert not anchor or anchor in anchors_of(page.read_text()), f'{name} links {target}'


def test_checkpoints_are_called_as_a_training_calls_them():
    """The best one by its metric and iteration; there never is a ``best.pth``."""
    keys = set()
    for name in shipped_configs():
        hooks = Config.fromfile(CONFIGS / name).default_hooks
        keys.add(hooks.checkpoint.save_best.replace('/', '_'))
    wanted = re.compile(rf'best_({"|".join(keys)})_iter_(N|\d+)\.pth')
    for name, text in TEXTS.items():
        for found in re.findall(r'\bbest\w*\.pth', text):
            assert wanted.fullmatch(found), f'{name}: {found}'


def test_pages_name_the_lowest_python_of_the_package():
    (lowest,) = re.findall(r"python_requires='>=([\d.]+)'", (ROOT / 'setup.py').read_text())
    for name, text in TEXTS.items():
        for found in re.findall(r'Python (3\.\d+) (?:or newer|to 3)', text):
            assert found == lowest, name


@pytest.mark.parametrize(
    ('phrase', 'why'),
    [
        ('now reaches 42.5', 'an AP^e of the demo that a fresh clone does not give'),
        ('pip<25', 'onedl-mim works with every pip'),
        ('wherever a checkpoint is asked for', 'other programs ask for checkpoints too'),
        ('folder itself may be a link', 'links below the folder are followed too'),
        ("_base_ = 'mmentity::cropformer", 'mmengine wants a folder in the name'),
        ('./configs/demo', 'a config of yours does not lie in a clone'),
    ],
)
def test_what_was_wrong_once_does_not_return(phrase, why):
    assert [name for name, text in TEXTS.items() if phrase in text] == [], why
