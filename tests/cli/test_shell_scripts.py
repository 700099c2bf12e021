"""The shell scripts of distributed runs, with their programs replaced by one that prints."""

import os
import subprocess

import pytest

from tests.conftest import ROOT

TOOLS = ROOT / 'tools'


@pytest.fixture
def shell(tmp_path):
    for name in ('python', 'srun'):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@"\n')
        program.chmod(0o755)

    def run(script, *arguments, **environment):
        done = subprocess.run(
            [str(TOOLS / script), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', **environment},
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    return run


@pytest.mark.parametrize(
    ('script', 'tool', 'before'),
    [('dist_train.sh', 'train.py', ['a.py']), ('dist_test.sh', 'test.py', ['a.py', 'a b.pth'])],
)
def test_processes_of_a_node(shell, script, tool, before):
    more = ['--cfg-options', 'a=b c']
    code, words, _ = shell(script, *before, '4', *more, PORT='1234', NNODES='2', NODE_RANK='1')
    assert code == 0
    assert words[:3] == ['python', '-m', 'torch.distributed.run']
    assert {'--nproc_per_node=4', '--nnodes=2', '--node_rank=1', '--master_port=1234'} <= {*words}
    tail = words[words.index(str(TOOLS / tool)) + 1 :]
    assert tail == [*before, '--launcher', 'pytorch', *more]


@pytest.mark.parametrize(
    ('script', 'tool', 'expected'),
    [
        ('slurm_train.sh', 'train.py', ['a.py', '--work-dir', 'x y', '--launcher', 'slurm']),
        ('slurm_test.sh', 'test.py', ['a.py', 'x y', '--launcher', 'slurm']),
    ],
)
def test_a_job_of_slurm(shell, script, tool, expected):
    code, words, _ = shell(
        script, 'part', 'job', 'a.py', 'x y', '--amp', GPUS='16', SRUN_ARGS='--quiet --mem=0'
    )
    assert code == 0
    assert words[0] == 'srun'
    assert {'--partition=part', '--job-name=job', '--ntasks=16', '--gres=gpu:8'} <= {*words}
    assert {'--quiet', '--mem=0'} <= {*words}
    assert words[words.index(str(TOOLS / tool)) + 1 :] == [*expected, '--amp']


@pytest.mark.parametrize('script', [path.name for path in sorted(TOOLS.glob('*.sh'))])
def test_too_few_arguments_say_what_is_wanted(shell, script):
    code, _, message = shell(script, 'a.py')
    assert code == 2
    assert f'tools/{script} ' in message
