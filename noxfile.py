"""The matrix of environments that the tests run in: ``nox --list``, ``nox -s oldest``.

A session without arguments runs all tests and writes its row of
``docs/compatibility.md``; arguments after ``--`` go to pytest, and no row is written.
"""

import datetime
import json
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import nox

nox.options.default_venv_backend = 'uv'
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ['default']

PINS = ('-c', 'requirements/constraints.txt')
TABLE = Path('docs/compatibility.md')
SHOWN = ('torch', 'mmcv', 'mmengine', 'mmdet', 'numpy')


class Cell(NamedTuple):
    """An environment of the matrix.

    Attributes:
        python: Version of Python.
        packages: What is installed beside the tools of development.
        pins: Options of uv that hold the versions.
    """

    python: str
    packages: tuple[str, ...] = ('-e.[all,dev]',)
    pins: tuple[str, ...] = PINS


CELLS = {
    'default': Cell('3.11'),
    'py310': Cell('3.10'),
    'py312': Cell('3.12'),
    # with the newest torch
    'py313': Cell('3.13'),
    # the mim that goes with numpy 1 imports pkg_resources
    'oldest': Cell(
        '3.10',
        ('-e.[all,dev]', 'torch==2.1.2', 'torchvision==0.16.2', 'numpy<2', 'setuptools<82'),
        pins=(),
    ),
    'onedl': Cell('3.12', ('-e.[torch,onedl,web,dev]',)),
    # needs a C++ compiler; takes 10 minutes on 2 cores
    'compiled': Cell(
        '3.11',
        (
            '-e.[torch,web,dev]',
            *('mmdet', 'mmengine', 'mmpretrain', 'mmsegmentation', 'ftfy', 'regex'),
        ),
    ),
}


def install_cell(session: nox.Session, cell: Cell) -> None:
    """Install the packages of a cell."""
    session.install(
        *cell.pins, '--override', 'requirements/overrides.txt', 'pip',
        'opencv-python-headless', *cell.packages,
    )  # fmt: skip
    session.install('--no-deps', 'panopticapi-lite', 'trackeval', 'tabulate')


def run_cell(session: nox.Session, name: str) -> None:
    """Install a cell and run the tests in it."""
    cell = CELLS[name]
    install_cell(session, cell)
    if name == 'compiled':
        session.install('setuptools<80', 'wheel', 'ninja', 'psutil')
        session.install(
            '--no-build-isolation', '--no-deps', 'mmcv==2.1.0', env={'MMCV_WITH_OPS': '1'}
        )
    report = Path(session.create_tmp()).resolve() / 'tests.xml'
    session.run(
        'python', '-m', 'pytest', '-n', 'auto', '--dist', 'loadfile', f'--junitxml={report}',
        *session.posargs,
        env={
            'OMP_NUM_THREADS': '1',
            'PATH': os.pathsep.join([*session.bin_paths, os.environ['PATH']]),
        },
        success_codes=[0] if session.posargs else [0, 1],
    )  # fmt: skip
    if not session.posargs and 'CI' not in os.environ:
        _write_row(session, name, report)
    suite = next(ElementTree.parse(report).iter('testsuite'))
    if int(suite.get('failures', 0)) + int(suite.get('errors', 0)):
        session.error('tests failed')


def _write_row(session: nox.Session, name: str, report: Path) -> None:
    """Replace or add the row of a cell."""
    listed = session.run('python', '-m', 'pip', 'list', '--format', 'json', silent=True)
    versions = {package['name']: package['version'] for package in json.loads(listed)}
    shown = []
    for module in SHOWN:
        names = (module, f'{module}-lite', f'onedl-{module}', 'onedl-mmdetection')
        found = next(found for found in names if found in versions)
        shown.append(versions[found] if found == module else f'{found} {versions[found]}')
    suite = next(ElementTree.parse(report).iter('testsuite'))
    total, failures, errors, skipped = (
        int(suite.get(key, 0)) for key in ('tests', 'failures', 'errors', 'skipped')
    )
    failed = failures + errors
    cells = [
        f'`{name}`', CELLS[name].python, *shown, str(total - failed - skipped), str(failed),
        str(skipped), datetime.date.today().isoformat(),
    ]  # fmt: skip
    row = f'| {" | ".join(cells)} |'
    lines = TABLE.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith('| cell |')) + 2
    end = start
    while end < len(lines) and lines[end].startswith('|'):
        end += 1
    others = [line for line in lines[start:end] if not line.startswith(f'| {cells[0]} |')]
    lines[start:end] = sorted([*others, row])
    TABLE.write_text('\n'.join(lines) + '\n')


def _add_session(name: str) -> None:
    def run(session: nox.Session) -> None:
        run_cell(session, name)

    run.__doc__ = f'Python {CELLS[name].python}: {" ".join(CELLS[name].packages)}'
    nox.session(run, name=name, python=CELLS[name].python)


for cell in CELLS:
    _add_session(cell)


@nox.session(python='3.11')
def readers(session: nox.Session) -> None:
    """Read our formats back with the heavy tools too, which other sessions skip."""
    install_cell(session, Cell('3.11', ('-e.[all,dev]', 'datumaro', 'fiftyone', 'labelme')))
    session.run(
        'python', '-m', 'pytest', '-rs', 'tests/apis/export/formats',
        'tests/apis/test_conversions.py', *session.posargs,
    )  # fmt: skip


BREAK = {
    'no mmcv': 'pip uninstall -y mmcv-lite',
    'mmcv-lite without mmdet': 'pip uninstall -y mmdet',
    'mmcv 2.2.0': 'pip install --no-deps mmcv-lite==2.2.0',
    'two OpenCVs': 'pip install --no-deps opencv-python',
    'no torch': 'pip uninstall -y torch torchvision',
}


@nox.session(python=False)
def doctor(session: nox.Session) -> None:
    """Break copies of .venv, and see that the command of `mmentity doctor` fixes each."""
    session.run('make', 'setup', external=True)
    for cause, command in BREAK.items():
        copy = Path(session.create_tmp()).resolve() / cause.replace(' ', '-')
        path = os.pathsep.join([str(copy / 'bin'), os.environ['PATH']])
        run = partial(
            subprocess.run, shell=True, env={**os.environ, 'PATH': path}, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        run(f"""
            rm -rf {copy} && .venv/bin/python -m venv --without-pip {copy}
            cp -rl .venv/lib/python3*/site-packages {copy}/lib/python3*/
            printf '#!/bin/sh\\nexec python -m pip -q "$@"\\n' > {copy}/bin/pip
            chmod +x {copy}/bin/pip
            {command}
        """)
        found = run('python -m mmentity doctor')
        _, _, advice = found.stdout.partition('Problem: ' if found.returncode else 'Warning: ')
        fix = advice.splitlines()[1].strip()
        session.log(f'{cause}: {advice.splitlines()[0]}: {fix}')
        run(fix)
        after = run('python -m mmentity doctor')
        if after.returncode or 'Warning' in after.stdout:
            session.error(after.stdout)
        shutil.rmtree(copy)


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """Check style and types as CI does."""
    session.run('make', 'lint', external=True)
