"""Benchmarks that wait for a GPU run in small on a CPU; memory over training steps stays flat."""

import importlib
import json

import pytest
import torch

from mmentity.models.complexity import measure_complexity
from tests.conftest import ROOT

ENVIRONMENT = {'cpu': 'a CPU', 'threads': 1, 'memory_gib': 1, 'commit': 'abc'}


@pytest.fixture
def load(monkeypatch):
    """Import a benchmark by its name."""
    monkeypatch.syspath_prepend(ROOT / 'benchmarks')
    monkeypatch.chdir(ROOT)
    return importlib.import_module


@pytest.mark.parametrize('step', ['forward', 'fusion', 'training'])
def test_every_step_of_the_gpu_benchmark_runs(step, load):
    gpu = load('gpu')
    chosen = [case for case in gpu.cases(tiny=True) if case['step'] == step]
    assert chosen
    for case in json.loads(json.dumps(chosen)):
        measured = gpu.MEASURES[step](case, 'cpu')
        if 'not_measured' in measured:
            assert case['precision'] != 'fp32'
            continue
        assert measured['median_s'] > 0
        assert measured['peak_mib'] is None
        if step == 'forward':
            assert sum(measured['stages'].values()) == pytest.approx(1, abs=0.01)
            assert (measured['stages']['cross-view pass'] > 0) == ('cropformer' in case['model'])


def test_the_table_names_what_was_not_measured(load):
    tables, gpu = load('tables'), load('gpu')
    case = gpu.cases()[0]
    measured = {'median_s': 0.05, 'images_s': 20.0, 'peak_mib': 900.0, 'gpu': 'one', 'stages': {}}
    rows = [
        {'case': json.loads(json.dumps(case)), 'measured': measured, 'environment': ENVIRONMENT}
    ]
    lines = tables.gpu_table(rows).splitlines()
    assert '0.05 | 20 | 900 |  | one' in lines[2]
    assert sum('not measured' in line for line in lines) == len(gpu.cases()) - 1


def test_stages_count_what_is_computed(load):
    stages, plain = load('stages'), load('plain_models')
    model = plain.build('configs/_base_/models/cropformer_swin-nano.py').requires_grad_(False)
    watched = stages.Stages(model)
    with torch.no_grad(), watched.count():
        model.predict_masks(torch.zeros(1, 5, 3, 64, 96), [None])
    expected = measure_complexity(model, 64, 96, 5).flops
    assert sum(watched.macs.values()) == pytest.approx(expected, rel=0.15)
    assert all(macs > 0 for macs in watched.macs.values())
    assert model.panoptic_head._run_decoder.__func__ is type(model.panoptic_head)._run_decoder


def test_memory_stays_flat_over_training_steps(load):
    growth = load('training_growth')
    levels = growth.measure_growth(runs=4, steps=5)['resident_mib']
    # a step of this model makes more than 20 MiB of activations and gradients
    assert max(levels[1:]) - levels[1] < 15
