"""Measure the conversion of HorNet-L beside reading and writing the same file.

The baseline is torch.load and torch.save of the official file, the least that any
converter does; each row is a process of its own, with its start.

    python benchmarks/convert_weights.py [--config cropformer_hornet-l_3x]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from terminaltables import AsciiTable

from mmentity.converters import mmentity_to_detectron2
from mmentity.utils.shipped_configs import find_config

TOOL = Path(__file__).parents[1] / 'tools/model_converters/detectron2_to_mmentity.py'
BASELINE = 'import sys, torch; torch.save(torch.load(sys.argv[1]), sys.argv[2])'


def measure(name: str, *command: object) -> list:
    """Run a command; return its name, seconds and peak memory in GiB."""
    begin = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f'{name} failed')
    return [name, time.perf_counter() - begin, usage.ru_maxrss / 2**20]


def main() -> None:
    """Write an official file of random weights, convert it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--config', default='cropformer_hornet-l_3x')
    config = Config.fromfile(find_config(parser.parse_args().config))
    register_all_modules(init_default_scope=True)
    model = MODELS.build(config.model)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'official.pth'
        torch.save({'model': mmentity_to_detectron2(model.state_dict())}, source)
        del model
        rows = [
            measure('torch.load and torch.save', sys.executable, '-c', BASELINE, source,
                    Path(folder) / 'copy.pth'),
            measure('detectron2_to_mmentity', sys.executable, TOOL, source, Path(folder) / 'out'),
            measure('detectron2_to_mmentity --half', sys.executable, TOOL, source,
                    Path(folder) / 'half', '--half'),
        ]  # fmt: skip
        size = source.stat().st_size / 2**20
    table = [
        [name, f'{seconds:.1f}', f'{seconds / rows[0][1]:.1f}', f'{memory:.2f}']
        for name, seconds, memory in rows
    ]
    print(AsciiTable([[f'{size:.0f} MiB', 'seconds', 'ratio', 'peak GiB'], *table]).table)


if __name__ == '__main__':
    main()
