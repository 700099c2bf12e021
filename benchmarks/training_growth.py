"""Memory of a process over several runs of training steps of a nano CropFormer.

python benchmarks/training_growth.py
"""

import argparse
import ctypes
import gc
from pathlib import Path

import torch
from measuring import keep
from plain_models import build
from training import batch_of

CONFIG = 'configs/_base_/models/cropformer_swin-nano.py'
RUNS, STEPS = 5, 200


def resident_mib() -> float:
    """Resident memory of this process, after what is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmRSS:'):
            return round(int(line.split()[1]) / 1024, 1)
    raise RuntimeError('/proc/self/status has no VmRSS; memory is measured on Linux only')


def train(steps: int, size: tuple = (64, 96), entities: int = 5) -> float:
    """Train a fresh model on two images; returns the last loss."""
    torch.manual_seed(0)
    model = build(CONFIG).train()
    data = batch_of(model, {'size': size, 'entities': entities})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for _ in range(steps):
        loss = sum(model.loss(data['inputs'], data['data_samples']).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss)


def measure_growth(runs: int = RUNS, steps: int = STEPS) -> dict:
    """Memory after each run; the first also loads what is loaded once."""
    levels = []
    for _ in range(runs):
        train(steps)
        levels.append(resident_mib())
    return {'resident_mib': levels}


def main() -> None:
    """Measure, and keep the measurement."""
    parser = argparse.ArgumentParser(description='Measure memory over runs of training steps.')
    parser.add_argument('--runs', type=int, default=RUNS)
    parser.add_argument('--steps', type=int, default=STEPS)
    args = parser.parse_args()
    measured = measure_growth(args.runs, args.steps)
    print(measured)
    keep('training_growth', {'runs': args.runs, 'steps': args.steps}, measured)


if __name__ == '__main__':
    main()
