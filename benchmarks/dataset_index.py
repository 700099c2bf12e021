"""Measure the index of a data set of EntitySeg's size: start-up time and memory per worker.

A synthetic json (by default 33,000 images with 20 RLE masks each) is opened by
EntitySegDataset and by pycocotools' COCO, each in a process of its own. Workers
then go through all entries, as an epoch does: objects that are touched are
copied into each worker, one array of bytes is not.

    python benchmarks/dataset_index.py [--images 33000] [--workers 4]
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from terminaltables import AsciiTable

READERS = ('EntitySegDataset', 'EntitySegDataset, lists', 'pycocotools COCO')


def write_json(path: Path, images: int, entities: int) -> None:
    """Write an entity json whose masks are as long as those of large images."""
    from pycocotools import mask as mask_utils

    rng = np.random.default_rng(0)
    # blobs of 1500 x 2000 px; counts of some hundred runs, as outlines give
    masks = []
    for _ in range(40):
        runs = int(rng.integers(150, 900))
        counts = [int(rng.integers(0, 1_000_000)), *rng.integers(200, 1500, 2 * runs).tolist()]
        counts.append(3_000_000 - sum(counts))
        rle = mask_utils.frPyObjects({'size': [1500, 2000], 'counts': counts}, 1500, 2000)
        masks.append({'size': [1500, 2000], 'counts': rle['counts'].decode()})
    with path.open('w') as stream:
        stream.write('{"categories": [{"id": 1, "name": "man"}], "images": [')
        for k in range(images):
            image = {'id': k + 1, 'file_name': f'entity_01_11580/{k:06d}.jpg', 'height': 1500}
            stream.write((', ' if k else '') + json.dumps({**image, 'width': 2000}))
        stream.write('], "annotations": [')
        for k in range(images * entities):
            row = {'id': k + 1, 'image_id': k // entities + 1, 'category_id': 1, 'iscrowd': 0}
            row.update(segmentation=masks[int(rng.integers(40))], area=12345, bbox=[1, 2, 3, 4])
            stream.write((', ' if k else '') + json.dumps(row))
        stream.write(']}')


def private_mib(pid: int) -> float:
    """Memory that only this process holds, in MiB."""
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    kib = sum(int(line.split()[1]) for line in lines if line.startswith('Private_'))
    return kib / 1024


def measure(reader: str, path: str, workers: int) -> dict:
    """Open the json, start workers that read everything, and weigh them."""
    from mmentity.datasets import EntitySegDataset

    before = private_mib(os.getpid())
    start = time.perf_counter()
    if reader == 'pycocotools COCO':
        from pycocotools.coco import COCO

        coco = COCO(path)
        ids = coco.getImgIds()

        def read(index: int) -> object:
            # as detection datasets do: the image and its annotations, copied
            return json.loads(json.dumps(coco.imgToAnns[ids[index]]))

        length = len(ids)
    else:
        dataset = EntitySegDataset(ann_file=path, serialize_data='lists' not in reader)
        read, length = dataset.get_data_info, len(dataset)
    seconds = time.perf_counter() - start
    held = private_mib(os.getpid()) - before

    def work(done: object, stop: object) -> None:
        for index in range(length):
            read(index)
        done.put(private_mib(os.getpid()))
        stop.wait()

    context = multiprocessing.get_context('fork')
    done, stop = context.Queue(), context.Event()
    start = time.perf_counter()
    processes = [context.Process(target=work, args=(done, stop)) for _ in range(workers)]
    for process in processes:
        process.start()
    started = time.perf_counter() - start
    private = [done.get() for _ in processes]
    stop.set()
    for process in processes:
        process.join()
    return {
        'open, s': seconds,
        'peak while opening, MiB': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        'held after, MiB': held,
        'each worker, MiB': sum(private) / len(private),
        'start of workers, s': started,
    }


def main() -> None:
    """Measure all readers and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--images', type=int, default=33000)
    parser.add_argument('--entities', type=int, default=20, help='of each image')
    parser.add_argument('--workers', type=int, default=4)
    parser.add_argument('--reader', choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument('--json', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.reader:
        print('metrics', json.dumps(measure(args.reader, args.json, args.workers)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'entityv2_010203_entity_train.json'
        write_json(path, args.images, args.entities)
        size = path.stat().st_size / 2**20
        print(f'{args.images} images x {args.entities} masks, {size:.0f} MiB of json')
        path.read_bytes()
        rows = []
        for reader in READERS:
            line = [sys.executable, __file__, '--reader', reader, '--json', str(path)]
            line += ['--workers', str(args.workers)]
            done = subprocess.run(line, capture_output=True, text=True, check=True)
            text = next(row for row in done.stdout.splitlines() if row.startswith('metrics'))
            metrics = json.loads(text.split(' ', 1)[1])
            rows.append([reader, *(f'{value:.2f}' if key.endswith(', s') else f'{value:.0f}'
                                   for key, value in metrics.items())])  # fmt: skip
        print(AsciiTable([['reader', *metrics], *rows]).table)


if __name__ == '__main__':
    main()
