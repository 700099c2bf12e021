"""Measure each step in its own process, and keep the measurements as JSON."""

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from mmentity.utils.dependencies import installed_version
from mmentity.utils.files import whole_file

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / 'results'
PACKAGES = ('torch', 'mmcv', 'mmdet', 'mmpretrain', 'pycocotools', 'numpy', 'PIL')
MIB = 1 << 20


def measure(step: Callable, repeat: int = 5, warm: bool = True) -> dict:
    """Time a step and watch its memory.

    Args:
        step: What is measured; its result is dropped.
        repeat: Timed runs.
        warm: Whether to run it once before.

    Returns:
        ``seconds`` of each run, their ``median_s``, ``median_cpu_s`` of all threads,
        which other work on the machine disturbs less, and ``peak_mib``: the highest
        resident memory of the process during a run above that before it.
    """
    if warm:
        step()
    seconds, cpu_seconds, peaks = [], [], []
    for _ in range(repeat):
        gc.collect()
        before = _reset_peak()
        start, cpu_start = time.perf_counter(), time.process_time()
        step()
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        peaks.append(_status('VmHWM') - before)
    return {
        'seconds': [round(value, 4) for value in seconds],
        'median_s': round(statistics.median(seconds), 4),
        'median_cpu_s': round(statistics.median(cpu_seconds), 4),
        'peak_mib': round(max(peaks), 1),
    }


def run(script: str, cases: list, measure_case: Callable, name: str) -> None:
    """Be a benchmark script: measure every case in turn, and write the measurements.

    Args:
        script: ``__file__`` of the benchmark.
        cases: Each a dict of JSON values that tells what to measure.
        measure_case: From a case to its measurements, JSON values too.
        name: They go to ``results/{name}.json``, after every case.
    """
    parser = argparse.ArgumentParser(description=f'Measure {name}; see docs/performance.md.')
    parser.add_argument('--case', help=argparse.SUPPRESS)
    parser.add_argument('--only', nargs='+', help='measure cases whose JSON has one of these')
    parser.add_argument('--repeat', type=int, help='timed runs of each case')
    args = parser.parse_args()
    if args.case is not None:
        print(json.dumps(measure_case(json.loads(args.case))))
        return
    words = args.only or ['']
    chosen = [case for case in cases if any(word in json.dumps(case) for word in words)]
    if args.repeat:
        chosen = [{**case, 'repeat': args.repeat} for case in chosen]
    for case in chosen:
        keep(name, case, _in_own_process(script, case))


def keep(name: str, case: dict, measured: dict) -> None:
    """Write the measurements of a case to ``results/{name}.json``, in place of older ones."""
    RESULTS.mkdir(exist_ok=True)
    case = json.loads(json.dumps(case))  # as it is read back
    path = RESULTS / f'{name}.json'
    rows = json.loads(path.read_text()) if path.is_file() else []
    rows = [row for row in rows if row['case'] != case]
    rows.append({'case': case, 'measured': measured, 'environment': environment()})
    with whole_file(path) as partial:
        partial.write_text(json.dumps(rows, indent=1) + '\n')


def environment() -> dict:
    """Tell hardware, versions and commit."""
    commit = subprocess.run(
        ['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True
    )
    return {
        'cpu': _cpu(),
        'threads': torch.get_num_threads(),
        'memory_gib': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30),
        'python': platform.python_version(),
        'commit': commit.stdout.strip(),
        **{package: installed_version(package) for package in PACKAGES},
    }


def _in_own_process(script: str, case: dict) -> dict:
    line = [sys.executable, script, '--case', json.dumps(case)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{case} failed:\n{done.stderr[-3000:]}')
    measured = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps({**case, **measured}), flush=True)
    return measured


def _reset_peak() -> float:
    """Forget the highest memory of this process so far; returns the present one, MiB."""
    # what was freed but kept for later would hide what the next run takes
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')
    return _status('VmRSS')


def _status(field: str) -> float:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f'/proc/self/status has no {field}; memory is measured on Linux only')


def _cpu() -> str:
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.machine()
