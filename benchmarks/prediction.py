"""Time and memory of predicting folders.

    python benchmarks/prediction.py overlap    reading and writing in the background, against not
    python benchmarks/prediction.py growth     memory over 1,000 small images
    python benchmarks/prediction.py large      memory of one image of 6000 x 8000

Each measurement runs in a process of its own, the network on one thread (--threads), so that
other work on the machine disturbs little. The model is random: what it finds does not matter for
time, and it is made to find many entities, which does.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from terminaltables import AsciiTable

from mmentity.apis import EntityInferencer
from mmentity.apis.export import OutputOptions, PredictionRun, RunOptions
from mmentity.apis.inferencer import LoadOptions
from mmentity.apis.inputs import iterate, list_inputs
from mmentity.utils.shipped_configs import get_config

MIB = 1 << 20


def build_inferencer(model: str) -> EntityInferencer:
    """Build a random model that is certain of its entities."""
    torch.manual_seed(0)
    config = get_config(model)
    inferencer = EntityInferencer(config, device='cpu', show_progress=False)
    head = inferencer.model.panoptic_head
    with torch.no_grad():
        head.cls_embed.bias.copy_(torch.tensor([4.0, -4.0]))
        head.mask_embed[-1].weight.mul_(20)
    return inferencer


def draw_images(folder: Path, number: int, height: int, width: int) -> Path:
    """Draw JPEGs of smooth noise, which take as long to decode as photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for k in range(number):
        small = rng.integers(0, 255, (max(2, height // 12), max(2, width // 12), 3), np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.BICUBIC)
        image.save(folder / f'{k}.jpg', quality=92)
    return folder


class Peak:
    """Highest memory of this process while the body runs, in MiB."""

    def __enter__(self) -> 'Peak':
        """Start to watch."""
        self.process, self.value, self.running = psutil.Process(), 0, True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        """Stop."""
        self.running = False
        self.thread.join()

    def _watch(self) -> None:
        while self.running:
            self.value = max(self.value, self.process.memory_info().rss / MIB)
            time.sleep(0.005)


def measure_overlap(args: argparse.Namespace) -> dict:
    """Time a run with or without threads beside the network."""
    inferencer = build_inferencer(args.model)
    with tempfile.TemporaryDirectory() as out:
        warm = PredictionRun(sorted(Path(args.folder).iterdir())[0], f'{out}/warm')
        warm(inferencer)
        run = PredictionRun(
            args.folder,
            f'{out}/run',
            OutputOptions(formats=tuple(args.format.split(','))),
            RunOptions(workers=args.workers),
        )
        start = time.perf_counter()
        manifest = run(inferencer)
        seconds = time.perf_counter() - start
    return {'seconds': seconds, 'images': manifest.written, 'peak': _peak()}


def measure_growth(args: argparse.Namespace) -> dict:
    """Memory after each hundred images of a run."""
    inferencer = build_inferencer(args.model)
    levels, process = [], psutil.Process()
    with tempfile.TemporaryDirectory() as out:
        run = PredictionRun(args.folder, out, OutputOptions(formats=tuple(args.format.split(','))))
        outcomes = inferencer.outcomes

        def watched(images: object, options: LoadOptions) -> object:
            for k, outcome in enumerate(outcomes(images, options), start=1):
                yield outcome
                if k % 100 == 0:
                    levels.append(round(process.memory_info().rss / MIB))

        inferencer.outcomes = watched
        run(inferencer)
    return {'levels': levels, 'peak': _peak()}


def measure_large(args: argparse.Namespace) -> dict:
    """Memory of a large image above that of the same model on a small one."""
    inferencer = build_inferencer(args.model)
    for image in iterate(list_inputs(f'{args.folder}/small')):
        list(inferencer.outcomes([image], LoadOptions(workers=0)))
    outputs = OutputOptions(formats=tuple(args.format.split(',')))
    peaks = []
    for name in ('small', 'large'):
        with tempfile.TemporaryDirectory() as out, Peak() as peak:
            start = time.perf_counter()
            PredictionRun(f'{args.folder}/{name}', out, outputs)(inferencer)
            seconds = time.perf_counter() - start
        peaks.append(peak.value)
    return {'small': peaks[0], 'large': peaks[1], 'seconds': seconds}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(what: str, folder: Path, threads: int, **options) -> dict:
    """Run one measurement in a process of its own."""
    words = [f'--{key}={value}' for key, value in options.items()]
    line = [sys.executable, __file__, what, '--folder', str(folder), *words]
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def compare_overlap(folder: Path, args: argparse.Namespace) -> list:
    """Compare runs with and without threads, in turns."""
    rows = [['images', 'workers', 'images a second', 'ratio', 'peak MiB']]
    for height, width in ((480, 640), (1080, 1920)):
        images = draw_images(folder / f'{width}x{height}', 100, height, width)
        runs = {0: [], 1: [], 2: []}
        for _ in range(args.repeat):
            for workers, results in runs.items():
                results.append(
                    in_own_process(
                        'overlap',
                        images,
                        args.threads,
                        model=args.model,
                        format=args.format,
                        workers=workers,
                    )
                )
        best = {k: min(results, key=lambda r: r['seconds']) for k, results in runs.items()}
        for workers, result in best.items():
            rows.append(
                [
                    f'100 of {width} x {height}',
                    workers,
                    f'{result["images"] / result["seconds"]:.1f}',
                    f'{best[0]["seconds"] / result["seconds"]:.2f}',
                    f'{result["peak"]:.0f}',
                ]
            )
    return rows


def report_growth(folder: Path, args: argparse.Namespace) -> list:
    """Report memory over 1,000 small images."""
    images = draw_images(folder, 1000, 96, 128)
    levels = in_own_process('growth', images, args.threads, model=args.model, format=args.format)[
        'levels'
    ]
    return [['after images', *range(100, 1001, 100)], ['MiB', *levels]]


def report_large(folder: Path, args: argparse.Namespace) -> list:
    """Report memory of one large image for each format."""
    draw_images(folder / 'small', 1, 750, 1000)
    draw_images(folder / 'large', 1, 6000, 8000)
    rows = [['format', 'small image MiB', '6000 x 8000 MiB', 'above MiB', 'seconds']]
    for name in args.format.split(','):
        result = in_own_process('large', folder, args.threads, model=args.model, format=name)
        above = result['large'] - result['small']
        values = (result['small'], result['large'], above, result['seconds'])
        rows.append([name, *(f'{value:.0f}' for value in values)])
    return rows


REPORTS = {'overlap': compare_overlap, 'growth': report_growth, 'large': report_large}
MEASURES = {'overlap': measure_overlap, 'growth': measure_growth, 'large': measure_large}


def main() -> None:
    """Measure, or report what processes of their own measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=REPORTS)
    parser.add_argument('--model', default='cropformer_swin-nano_demo')
    parser.add_argument('--format', default='idmap', help='formats to write')
    parser.add_argument('--repeat', type=int, default=2, help='runs of which the best counts')
    parser.add_argument('--threads', type=int, default=1, help='threads of the network')
    parser.add_argument('--folder', help=argparse.SUPPRESS)
    parser.add_argument('--workers', type=int, default=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder is not None:
        print(json.dumps(MEASURES[args.what](args)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(AsciiTable(REPORTS[args.what](Path(folder), args)).table)


if __name__ == '__main__':
    main()
