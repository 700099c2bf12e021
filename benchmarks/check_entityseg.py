"""Measure `entityseg ROOT check` on planted faults: what it finds, time and memory.

Draws a synthetic EntitySeg, plants faults of every kind of an image or entry
into it, and of every kind of a whole file into small copies, one each.

    python benchmarks/check_entityseg.py [--images 2000] [--faults 20]
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from terminaltables import AsciiTable

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mmentity.preparation.check import check_entityseg  # noqa: E402
from mmentity.preparation.report import Problem  # noqa: E402
from mmentity.preparation.synthetic import DemoOptions, make_demo_data  # noqa: E402
from tests.preparation.planting import (  # noqa: E402
    FAULTS,
    FILE_FAULTS,
    MAP_FAULTS,
    Planter,
    compare,
    keep_merged_files,
)


def check_images(folder: Path, args: argparse.Namespace) -> tuple:
    """Plant faults of entries, images and maps into one large root and check it."""
    val = args.images // 10
    options = DemoOptions(args.images - val, val, args.height, args.height * 4 // 3)
    root = make_demo_data(folder / 'large', options)
    keep_merged_files(root)
    planter = Planter(root)
    for kind in (*FAULTS, *MAP_FAULTS):
        for _ in range(args.faults):
            planter.plant(kind)
    planter.write()
    start = time.perf_counter()
    report = check_entityseg(root, workers=args.workers)
    seconds = time.perf_counter() - start
    missed, invented = compare(planter.planted, report)
    return Counter(kind for kind, _ in missed), invented, seconds


def check_files(folder: Path, args: argparse.Namespace) -> tuple:
    """Plant each fault of a whole file into copies of a small root and check them."""
    small = make_demo_data(folder / 'small', DemoOptions(6, 3, 48, 64))
    missed, invented = Counter(), []
    for kind, plant in FILE_FAULTS.items():
        for number in range(args.faults):
            root = shutil.copytree(small, folder / f'{kind}_{number}')
            plant(root)
            problems = check_entityseg(root, workers=1).problems
            found = [problem for problem in problems if problem.kind == kind]
            missed[kind] += not found
            invented += [problem for problem in problems if problem not in found[:1]]
            shutil.rmtree(root)
    return missed, invented


def rows_of(kinds: dict, missed: Counter, invented: list, faults: int) -> list:
    """Rows of the table, one for each kind."""
    extra = Counter(problem.kind for problem in invented if isinstance(problem, Problem))
    return [[kind, faults, faults - missed[kind], extra[kind]] for kind in kinds]


def main() -> None:
    """Plant, check and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--images', type=int, default=2000)
    parser.add_argument('--faults', type=int, default=20, help='of each kind')
    parser.add_argument('--height', type=int, default=240, help='of an image, px')
    parser.add_argument('--workers', type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        missed, invented, seconds = check_images(Path(name), args)
        rows = rows_of({**FAULTS, **MAP_FAULTS}, missed, invented, args.faults)
        rows += rows_of(FILE_FAULTS, *check_files(Path(name), args), args.faults)
    print(AsciiTable([['kind', 'planted', 'found', 'invented'], *rows]).table)
    own, workers = (
        resource.getrusage(who).ru_maxrss / 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(
        f'{args.images} images of {args.height}x{args.height * 4 // 3} px with '
        f'{args.workers} workers: {seconds:.1f} s; peak memory {own:.0f} MiB, '
        f'of a worker {workers:.0f} MiB'
    )


if __name__ == '__main__':
    main()
