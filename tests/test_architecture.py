"""Imports run downward only and in no circle, those inside of functions included."""

import ast

import pytest

from tests.conftest import ROOT

LAYERS = (
    {'version', 'utils', 'registry'},
    {'structures'},
    {'datasets', 'models'},
    {'evaluation', 'visualization', 'checkpoints', 'converters', 'deploy', 'tracking'},
    {'engine', 'apis', 'preparation'},
    {'cli', '__main__'},
)
LAYER_OF = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
# a public face of the room beside it
FACES = {('converters', 'checkpoints'), ('registry', 'utils'), ('__main__', 'cli')}
FILES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).replace('.__init__', ''): path
    for path in (ROOT / 'mmentity').rglob('*.py')
    if '.mim' not in path.parts
}


def imports_of(module):
    """Modules of the package that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{module}: write imports of the package in full'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
            found |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split('.')[0] == 'mmentity'} - {module}


def room_of(module):
    return [*module.split('.'), 'version'][1]


IMPORTS = {module: imports_of(module) for module in sorted(FILES)}


@pytest.mark.parametrize('module', IMPORTS)
def test_imports_run_downward(module):
    if module == 'mmentity':
        return
    room = room_of(module)
    for name in IMPORTS[module]:
        other = room_of(name)
        below = LAYER_OF[other] < LAYER_OF[room]
        assert below or other == room or (room, other) in FACES, f'{module} imports {name}'


def test_no_circle_of_imports():
    done = set()

    def visit(module, path):
        assert module not in path, ' -> '.join([*path[path.index(module) :], module])
        if module not in done:
            for name in sorted(IMPORTS[module]):
                visit(name, [*path, module])
            done.add(module)

    for module in IMPORTS:
        visit(module, [])
