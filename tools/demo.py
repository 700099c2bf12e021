"""Make the demo data, train and test on it, and show what came out.

What is finished is not done again; what was interrupted is resumed.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from terminaltables import AsciiTable

from mmentity.evaluation.baselines import BASELINES, score_without_network
from mmentity.preparation.synthetic import make_demo_data

DATA = 'data/entityseg_demo'


class Predictor(NamedTuple):
    """A row of a table of the demo.

    Attributes:
        config: Config of a model, without folder and suffix.
        task: Key of ``SHOWN``.
        baseline: Whether the config gives the data only.
    """

    config: str
    task: str
    baseline: bool = False


SHOWN = {
    'entity': [f'entity/{key}' for key in ('APe', 'APe_50', 'APe_75', 'APe_s', 'APe_m', 'APe_l')],
    'instance': [f'coco/segm_mAP{key}' for key in ('', '_50', '_75', '_s', '_m', '_l')],
    'semantic': ['mIoU', 'mAcc', 'aAcc'],
    'panoptic': [f'coco_panoptic/{key}' for key in ('PQ', 'SQ', 'RQ', 'PQ_th', 'PQ_st')],
}
PREDICTORS = {
    'cropformer': Predictor('cropformer_swin-nano_demo', 'entity'),
    'mask2former': Predictor('mask2former_swin-nano_demo', 'entity'),
}
for name in BASELINES:
    PREDICTORS[name] = Predictor('mask2former_swin-nano_demo', 'entity', baseline=True)
for task in ('instance', 'semantic', 'panoptic'):
    PREDICTORS[task] = Predictor(f'mask2former_swin-nano_demo_{task}', task)
    PREDICTORS[f'majority-{task}'] = PREDICTORS[task]._replace(baseline=True)


def say(text: str) -> None:
    """Print a step with the time of day."""
    print(f'[{time.strftime("%H:%M:%S")}] {text}', flush=True)


def mmentity(*arguments: str) -> None:
    """Run a command of mmentity and stop if it fails."""
    say('mmentity ' + ' '.join(arguments))
    subprocess.run([sys.executable, '-m', 'mmentity', *arguments], check=True)


class Tested(NamedTuple):
    """Metrics of a tested model, and lines that say where its results are."""

    metrics: dict[str, float]
    places: list[str]


def train_and_test(config_name: str) -> Tested:
    """Train and test one demo config."""
    config = f'configs/demo/{config_name}.py'
    work_dir = Path('work_dirs') / config_name
    max_iters = Config.fromfile(config).train_cfg.max_iters
    started = (work_dir / 'last_checkpoint').is_file()
    if (work_dir / f'iter_{max_iters}.pth').is_file():
        say(f'{work_dir} holds a finished training of {config}')
    else:
        say(f'training takes 5 to 10 minutes on 2 cores; see {work_dir}')
        options = ['--work-dir', str(work_dir)] + (['--resume'] if started else [])
        mmentity('train', config, *options)
    best = max(work_dir.glob('best_*_iter_*.pth'), key=lambda p: p.stat().st_mtime)
    record = work_dir / 'test' / 'metrics.json'
    if not record.is_file() or json.loads(record.read_text())['checkpoint'] != str(best):
        options = ['--work-dir', str(record.parent), '--show-dir', 'images']
        mmentity('test', config, str(best), *options)
    metrics = json.loads(record.read_text())['metrics']
    images = sorted(record.parent.glob('*/images'))[-1]
    places = [
        f'{config_name}: checkpoint  {best}',
        f'{config_name}: images      {images}',
        f'{config_name}: loss curve  {work_dir / "curves.png"}',
    ]
    return Tested(metrics, places)


def main() -> None:
    """Run the demo for the predictors asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('predictors', nargs='+', choices=PREDICTORS)
    args = parser.parse_args()
    say(f'demo data in {DATA}: about 20 seconds the first time')
    make_demo_data(DATA)
    rows: dict[str, list[list[str]]] = {task: [] for task in SHOWN}
    places = []
    for name in args.predictors:
        predictor = PREDICTORS[name]
        if predictor.baseline:
            say(f'scoring the {name} predictor')
            config = Config.fromfile(f'configs/demo/{predictor.config}.py')
            metrics = score_without_network(config, name, predictor.task)
        else:
            metrics, where = train_and_test(predictor.config)
            places += where
        values = [metrics[key] for key in SHOWN[predictor.task]]
        cells = ('-' if v is None or v != v else f'{v:.1f}' for v in values)
        rows[predictor.task].append([name, *cells])
    for task, lines in rows.items():
        if lines:
            names = [key.split('/')[-1] for key in SHOWN[task]]
            print(AsciiTable([[f'demo validation set, {task}, %', *names], *lines]).table)
    print('\n'.join(places))


if __name__ == '__main__':
    main()
