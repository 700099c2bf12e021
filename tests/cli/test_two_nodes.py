"""Training on two nodes, as the page on many machines starts it, both on this machine."""

import contextlib
import os
import re
import shlex
import socket
import subprocess
import sys
import time

import psutil
import pytest
import torch
from torch.distributed.run import get_args_parser

from mmentity.cli.program import build_parser, import_command
from mmentity.visualization.curves import read_scalars
from tests.cli.test_tools import options
from tests.conftest import ROOT

PAGE = (ROOT / 'docs' / 'how_to' / 'many_machines.md').read_text()
ITERATIONS = 16
CONFIG = f"""
_base_ = ['{ROOT}/configs/demo/cropformer_swin-nano_demo.py']
custom_hooks = [*_base_.custom_hooks, dict(type='mmentity.SeedByIterationHook')]
"""


def line_of_a_node():
    """The line that the page has for each of several machines."""
    (text,) = re.findall(r'```bash\n(torchrun --nnodes[^`]*)```', PAGE)
    return shlex.split(text.replace('\\\n', ' '))


def replaced(words, values):
    """Give options of a command line other values."""
    for name, value in values.items():
        words[words.index(name) + 1] = value
    return words


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def kill(process):
    """Kill a process and all that it started, as a machine takes all with it."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


@pytest.fixture
def start(demo_root, tmp_path):
    """Start a training with torchrun; what is left of it in the end is killed."""
    (tmp_path / 'config.py').write_text(CONFIG)
    settings = {
        'train_dataloader.num_workers': 1,
        'train_dataloader.batch_size': 1,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.save_best': None,
        'train_cfg.val_interval': 100,
        'log_processor.window_size': 1,
        'train_cfg.max_iters': ITERATIONS,
        'param_scheduler.0.total_steps': ITERATIONS,
        'param_scheduler.0.end': ITERATIONS,
    }
    started = []

    def run(work_dir, launcher, log):
        arguments = [str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / work_dir)]
        words = [*launcher[1:], '-m', 'mmentity', 'train', *arguments, '--launcher', 'pytorch']
        with (tmp_path / log).open('w') as stream:
            process = subprocess.Popen(
                [sys.executable, '-m', 'torch.distributed.run', *words, '--resume',
                 *options(demo_root, **settings)],
                stdout=stream,
                stderr=stream,
                env={**os.environ, 'OMP_NUM_THREADS': '1'},
            )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        kill(process)


def losses(work_dir):
    """Logged losses by iteration, the newest of each."""
    return {row['step']: row['loss'] for row in read_scalars(work_dir) if 'loss' in row}


def wait_for(step, work_dir, processes, log):
    """Wait until a training is at a step, with more before it; returns its losses."""
    deadline = time.time() + 200
    while step not in (found := losses(work_dir)):
        assert time.time() < deadline, log.read_text()[-3000:]
        assert all(process.poll() is None for process in processes), log.read_text()[-3000:]
        time.sleep(0.05)
    return found


@pytest.mark.slow
def test_a_training_that_loses_a_node_ends_with_the_same_weights(start, tmp_path):
    """Losses of two nodes are those of one node with two processes, before and after the loss."""
    one = start('one', ['torchrun', '--standalone', '--nproc_per_node', '2'], 'one.log')
    assert one.wait(200) == 0, (tmp_path / 'one.log').read_text()[-3000:]
    expected = losses(tmp_path / 'one')
    assert sorted(expected) == list(range(1, ITERATIONS + 1))
    line, log = line_of_a_node(), tmp_path / '0.log'

    def start_both():
        launcher = replaced(
            line[: line.index('-m')],
            {'--rdzv_endpoint': f'127.0.0.1:{free_port()}', '--nproc_per_node': '1'},
        )
        # on one machine each could be that of the endpoint
        return [
            start('two', [*launcher, '--rdzv_conf', f'is_host={1 - node}'], f'{node}.log')
            for node in (0, 1)
        ]

    # a node is lost: the job ends and is queued again
    nodes = start_both()
    before = wait_for(5, tmp_path / 'two', nodes, log)
    kill(nodes[1])
    kill(nodes[0])
    nodes = start_both()
    assert [node.wait(200) for node in nodes] == [0, 0], log.read_text()[-3000:]
    assert re.search(r'resumed? epoch: 0, iter: ', log.read_text())
    assert len(before) < ITERATIONS
    assert before.items() <= expected.items()
    assert losses(tmp_path / 'two') == expected
    weights = [
        torch.load(tmp_path / name / f'iter_{ITERATIONS}.pth', weights_only=False)['state_dict']
        for name in ('one', 'two')
    ]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_the_job_of_slurm_is_known_to_both_programs(tmp_path):
    """Its script, with programs of Slurm that print, starts torchrun and `mmentity train`."""
    (script,) = re.findall(r'```bash\n(#!/bin/bash\n[^`]*torchrun[^`]*)```', PAGE)
    (tmp_path / 'train.sh').write_text(script)
    for name, content in (('scontrol', 'printf "a1\\na2\\n"'), ('srun', 'printf "%s\\n" "$@"')):
        (tmp_path / name).write_text(f'#!/bin/sh\n{content}\n')
        (tmp_path / name).chmod(0o755)
    variables = {
        'SLURM_JOB_ID': '7', 'SLURM_JOB_NODELIST': 'a[1-2]', 'SLURM_NNODES': '2',
        'SLURM_GPUS_ON_NODE': '8', 'PATH': f'{tmp_path}:{os.environ["PATH"]}',
    }  # fmt: skip
    done = subprocess.run(
        ['bash', tmp_path / 'train.sh'],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    for words in (done.stdout.splitlines(), line_of_a_node()):
        assert words[0] == 'torchrun', done.stderr
        launched = get_args_parser().parse_args(words[1:])
        assert (launched.nnodes, launched.nproc_per_node) == ('2', '8')
        assert (launched.rdzv_backend, launched.max_restarts) == ('c10d', 3)
        assert launched.rdzv_endpoint in ('a1:29500', '10.0.0.1:29500')
        assert launched.module
        assert launched.training_script == 'mmentity'
        command, *arguments = launched.training_script_args
        parser = build_parser(command, import_command(command))
        assert parser.parse_args(arguments).resume == 'auto'
