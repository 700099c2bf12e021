"""The jobs on the page on many machines, with the variables that Slurm and Kubernetes set."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from tests.apis.conftest import MODEL, contents, save_scenes
from tests.conftest import ROOT

PAGE = ROOT / 'docs' / 'how_to' / 'many_machines.md'
PARTS = 3


@pytest.fixture
def data(tmp_path, weights):
    """The folder that stands as /data on the page."""
    folder = tmp_path / 'data'
    save_scenes(folder / 'frames' / 'a', 4, '.jpg')
    save_scenes(folder / 'frames' / 'b', 3, '.jpg')
    shutil.copy(weights, folder / 'random.pth')
    return folder


def job(variable, data):
    """The job of the page that has a variable, in fewer parts, with the nano model."""
    blocks = re.findall(r'```\w+\n(.*?)```', PAGE.read_text(), flags=re.DOTALL)
    (text,) = [block for block in blocks if variable in block]
    # the number of parts is the same wherever it stands
    assert len(re.findall(r'\b16\b', text)) > 1
    text = re.sub(r'\b16\b', str(PARTS), text)
    text = re.sub(r'/data/\w+\.pth', '/data/random.pth', text).replace('/data', str(data))
    return text.replace('cropformer_hornet-l_3x', MODEL)


def slurm_tasks(text, folder):
    """The task of each number of the array, as Slurm starts it."""
    ((first, last),) = re.findall(r'^#SBATCH .*--array=(\d+)-(\d+)', text, re.MULTILINE)
    (folder / 'predict.sh').write_text(text)
    for task in range(int(first), int(last) + 1):
        yield ['bash', folder / 'predict.sh'], task


def kubernetes_pods(text, folder):
    """The pod of each index of the job, as Kubernetes starts it."""
    spec = yaml.safe_load(text)['spec']
    assert spec['completionMode'] == 'Indexed'
    pod = spec['template']['spec']
    assert pod['restartPolicy'] == 'Never'  # as a podFailurePolicy needs it
    (container,) = pod['containers']
    assert spec['podFailurePolicy']['rules'][0]['onExitCodes']['containerName'] == container['name']
    assert [volume['name'] for volume in container['volumeMounts']] == [
        volume['name'] for volume in pod['volumes']
    ]
    for index in range(spec['completions']):
        yield container['command'] + container['args'], index


@pytest.mark.parametrize(
    ('variable', 'processes'),
    [('SLURM_ARRAY_TASK_ID', slurm_tasks), ('JOB_COMPLETION_INDEX', kubernetes_pods)],
)
def test_a_job_writes_the_files_of_a_single_run(variable, processes, data, tmp_path, predict_tool):
    # srun runs its arguments, and mmentity shows them
    for name, content in (('srun', 'exec "$@"'), ('mmentity', r'printf "%s\n" "$@"')):
        (tmp_path / name).write_text(f'#!/bin/sh\n{content}\n')
        (tmp_path / name).chmod(0o755)
    shards = []
    environment = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'}
    for line, value in processes(job(variable, data), tmp_path):
        environment[variable] = str(value)
        done = subprocess.run(line, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        command, *words = done.stdout.splitlines()
        assert command == 'predict'
        assert predict_tool(*words, '--device', 'cpu') == 0
        shards.append(words[words.index('--shard') + 1])
    assert shards == [f'{k}/{PARTS}' for k in range(1, PARTS + 1)]
    single = ('--model', MODEL, '--weights', data / 'random.pth', '--device', 'cpu')
    assert predict_tool(f'{data}/frames/**/*.jpg', '--out', tmp_path / 'single', *single) == 0
    assert len(contents(data / 'maps')) == 2 * 7
    assert contents(data / 'maps') == contents(tmp_path / 'single')
