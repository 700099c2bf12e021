"""Say what is installed, what is missing for what, and the command that fixes it.

The exit code is 0 where training and prediction would run.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from mmentity.cli.diagnosis import Diagnosis, diagnose
from mmentity.cli.probe import Probe
from mmentity.utils.dependencies import installed_versions
from mmentity.version import __version__

PATIENCE = 600  # seconds; the first import from a cold disk may take minutes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``mmentity doctor`` has no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the diagnosis; 1 if training or prediction would fail."""
    probe = _probe()
    diagnosis = diagnose(installed_versions(), probe)
    print('\n'.join(_lines(diagnosis, probe)))
    return 0 if diagnosis.usable else 1


def _lines(diagnosis: Diagnosis, probe: Probe) -> list[str]:
    facts = {'mmentity': f'{__version__}, Python {platform.python_version()}', **diagnosis.versions}
    ops = {None: 'none', 'not available': 'for the CPU alone'}
    facts['ops of mmcv'] = ops.get(probe.cuda_ops, f'for CUDA {probe.cuda_ops}')
    for device, description in probe.devices.items():
        attention = probe.attention.get(device)
        facts[device] = description + (f'; deformable attention: {attention}' if attention else '')
    lines = [f'{name:14}  {value}' for name, value in facts.items()]
    for feature, command in diagnosis.missing.items():
        lines += ['', f'Not available: {feature}', f'    {command}']
    for problem in diagnosis.problems:
        lines += ['', f'{"Problem" if problem.blocking else "Warning"}: {problem.cause}']
        lines.append(f'    {problem.command}')
    lines += ['', f'Training and prediction {"" if diagnosis.usable else "do not "}run here.']
    return lines


def _probe() -> Probe:
    """Import everything in a process of its own, which a bad library may end."""
    package = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, (str(package.parent), os.environ.get('PYTHONPATH'))))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'probe.json'
        try:
            done = subprocess.run(
                [sys.executable, '-m', 'mmentity.cli.probe', str(file)],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                env={**os.environ, 'PYTHONPATH': path},
            )
            end = f'ended the process with {done.returncode}: {done.stderr.strip()[-200:]}'
        except subprocess.TimeoutExpired:
            end = f'took more than {PATIENCE} s'
        unknown = Probe({}, {}, {}, importing='mmentity')
        probe = Probe(**json.loads(file.read_text())) if file.is_file() else unknown
    if probe.importing:
        probe.errors[probe.importing] = end
    return probe
