"""HOTA, id switches, time and memory of tracking drawn sequences with known ids.

    python benchmarks/tracking.py scores    with and without memory and flow, 4 sequences
    python benchmarks/tracking.py time      milliseconds that a frame takes, at two sizes
    python benchmarks/tracking.py memory    resident memory over 2,000 frames

The frames are drawn (mmentity/preparation/sequences.py); their known maps with borders that are
off, entities that are missed, merged and split stand in for what a network predicts. `scores` needs
trackeval (pip install --no-deps trackeval tabulate).
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator

import psutil
from terminaltables import AsciiTable

from mmentity.evaluation.tracking_score import TrackingScore
from mmentity.preparation.sequences import DrawnSequence, NoisyNetwork, SequenceOptions
from mmentity.tracking import EntityTracker, Frame, TrackOptions

MODES = {
    'frame by frame': TrackOptions(memory=0),
    'flow': TrackOptions(memory=0, flow=True),
    'memory': TrackOptions(),
    'memory and flow': TrackOptions(flow=True),
}
SEEDS = range(4)
METRICS = ('HOTA', 'DetA', 'AssA', 'IDSW')


def predicted(options: SequenceOptions) -> Iterator[tuple]:
    """Give what the stand-in for a network finds in each frame, and the known ids."""
    network = NoisyNetwork(seed=options.seed)
    for img, ids in DrawnSequence(options):
        yield Frame(*network(ids), img), ids


def score(options: TrackOptions, seed: int) -> dict:
    """Score one sequence of 120 frames, 320 x 240."""
    tracker, scorer, tracks = EntityTracker(options), TrackingScore(), 0
    for frame, ids in predicted(SequenceOptions(seed=seed)):
        tracked = tracker.update(frame)
        scorer.add(tracked.id_map, ids)
        tracks = max(tracks, int(tracked.track_ids.max(initial=0)))
    return {**scorer.compute(), 'tracks': tracks}


def report_scores() -> list:
    """Compare means over the sequences, and the number of ids."""
    rows = [['', *METRICS, 'ids']]
    for name, options in MODES.items():
        scores = [score(options, seed) for seed in SEEDS]
        means = [statistics.mean(s[key] for s in scores) for key in (*METRICS, 'tracks')]
        rows.append([name, *(f'{value:.1f}' for value in means)])
    return rows


def report_time(frames: int = 30) -> list:
    """Report the median time of a frame, ms."""
    rows = [['', '640 x 480', '1920 x 1080']]
    sizes = ((480, 640), (1080, 1920))
    drawn = [list(predicted(SequenceOptions(frames=frames, height=h, width=w))) for h, w in sizes]
    for name, options in MODES.items():
        row = [name]
        for of_size in drawn:
            tracker, times = EntityTracker(options), []
            for frame, _ in of_size:
                start = time.perf_counter()
                tracker.update(frame)
                times.append(time.perf_counter() - start)
            row.append(f'{1000 * statistics.median(times):.1f}')
        rows.append(row)
    return rows


def report_memory() -> list:
    """Report the resident memory of the process after each 250 frames of 160 x 120, MiB."""
    process, levels = psutil.Process(), []
    options = SequenceOptions(frames=2000, height=120, width=160)
    tracker = EntityTracker(TrackOptions(flow=True))
    for number, (frame, _) in enumerate(predicted(options), start=1):
        tracker.update(frame)
        if number % 250 == 0:
            levels.append(round(process.memory_info().rss / 2**20, 1))
    return [['after frames', *range(250, 2001, 250)], ['MiB', *levels]]


REPORTS = {'scores': report_scores, 'time': report_time, 'memory': report_memory}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=REPORTS)
    parser.add_argument('--json', action='store_true', help='print json in place of a table')
    args = parser.parse_args()
    rows = REPORTS[args.what]()
    print(json.dumps(rows) if args.json else AsciiTable(rows).table)


if __name__ == '__main__':
    main()
