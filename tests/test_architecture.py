"""Imports run downward only, none in a circle and none inside a function."""

import ast

import pytest

from tests.conftest import ROOT

LAYERS = (
    {'version', 'utils', 'registry'},
    {'structures'},
    {'datasets', 'models'},
    {'evaluation', 'visualization', 'checkpoints', 'converters'},
    {'engine', 'apis', 'preparation'},
    {'cli', '__main__'},
)
LAYER_OF = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
# a public face of the room beside it
FACES = {('converters', 'checkpoints'), ('registry', 'utils'), ('__main__', 'cli')}
PACKAGE = ROOT / 'mmentity'
FILES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).replace('.__init__', ''): path
    for path in PACKAGE.rglob('*.py')
    if '.mim' not in path.parts
}


def imports_of(module):
    """Modules of the package that a file imports, each with whether a function does it."""
    tree = ast.parse(FILES[module].read_text(encoding='utf-8'))
    nested = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{module}: write imports of the package in full'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
            names = [name if name in FILES else node.module for name in names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split('.')[0] == 'mmentity' and name != module:
                yield name, id(node) in nested


def room_of(module):
    return [*module.split('.'), 'version'][1]


IMPORTS = {module: dict(imports_of(module)) for module in sorted(FILES)}


@pytest.mark.parametrize('module', IMPORTS)
def test_imports_run_downward(module):
    if module == 'mmentity':
        return
    room = room_of(module)
    for name in IMPORTS[module]:
        other = room_of(name)
        below = LAYER_OF[other] < LAYER_OF[room]
        assert below or other == room or (room, other) in FACES, f'{module} imports {name}'


@pytest.mark.parametrize('module', IMPORTS)
def test_no_function_imports_from_the_package(module):
    lazy = [name for name, is_nested in IMPORTS[module].items() if is_nested]
    assert not lazy, f'{module} imports {lazy} in a function'


def test_no_circle_of_imports():
    done = set()

    def visit(module, path):
        assert module not in path, ' -> '.join([*path[path.index(module) :], module])
        if module not in done:
            for name in IMPORTS[module]:
                visit(name, [*path, module])
            done.add(module)

    for module in IMPORTS:
        visit(module, [])
