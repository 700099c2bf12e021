"""The command ``mmentity``: its commands, errors, exit codes and what it imports."""

import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest

from mmentity import __version__
from mmentity.cli import main, program
from tests.conftest import ROOT


def run_python(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={'PYTHONPATH': str(ROOT)},
    )


def test_help_lists_every_command_and_imports_nothing_heavy():
    done = run_python(
        '-c',
        'import sys\n'
        'from mmentity.cli import main\n'
        'try:\n'
        '    main(["-h"])\n'
        'finally:\n'
        '    heavy = {"torch", "mmcv", "mmdet", "mmengine", "numpy", "cv2"} & set(sys.modules)\n'
        '    assert not heavy, heavy',
    )
    assert done.returncode == 0, done.stderr
    for name in program.COMMANDS:
        assert f'  {name} ' in done.stdout


def test_version_of_the_module_form(tmp_path):
    done = run_python('-m', 'mmentity', '--version', cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, f'mmentity {__version__}')


@pytest.mark.parametrize('name', program.COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, '-h'])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f'usage: mmentity {name} ')
    assert import_module(f'mmentity.cli.commands.{name.replace("-", "_")}').__doc__ in out


@pytest.mark.parametrize('argv', [[], ['nothing'], ['train'], ['predict', 'a.jpg', '--nothing']])
def test_wrong_command_lines_end_with_2(argv):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2


@pytest.fixture
def command(monkeypatch):
    """Put a command into the place of ``train`` that does what a test says."""

    def replace(run):
        stand_in = SimpleNamespace(__doc__='', add_arguments=lambda parser: None, run=run)
        monkeypatch.setattr(program, 'import_module', lambda name: stand_in)

    return replace


def raising(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize('error', [ValueError, OSError, ImportError])
def test_a_user_error_is_one_message_and_2(error, command, capsys):
    command(raising(error('no such thing')))
    assert main(['train']) == 2
    assert capsys.readouterr().err == 'mmentity train: no such thing\n'


def test_a_missing_module_leads_to_the_doctor(command, capsys):
    command(raising(ModuleNotFoundError("No module named 'addict'")))
    assert main(['train']) == 2
    assert capsys.readouterr().err.endswith("'addict'; mmentity doctor finds out why\n")


def test_exit_codes_of_the_others(command, monkeypatch):
    command(lambda args: 1)
    assert main(['train']) == 1
    command(raising(KeyboardInterrupt()))
    assert main(['train']) == 130
    command(raising(RuntimeError('a bug')))
    with pytest.raises(RuntimeError):
        main(['train'])
    command(raising(ValueError('a bug')))
    monkeypatch.setenv('MMENTITY_TRACEBACK', '1')
    with pytest.raises(ValueError, match='a bug'):
        main(['train'])


def test_tools_pass_their_arguments_on(tmp_path):
    """One that renames, one that reorders, from another folder."""
    done = run_python(
        ROOT / 'tools/model_converters/mmentity_to_detectron2.py', 'a', 'b', cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('mmentity convert: ')
    done = run_python(
        ROOT / 'tools/dataset_converters/entityseg.py', '.', 'derive', '-h', cwd=tmp_path
    )
    assert done.returncode == 0
    assert done.stdout.startswith('usage: mmentity derive')
