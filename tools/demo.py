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

from mmdet.registry import DATASETS, METRICS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from terminaltables import AsciiTable

from mmentity.evaluation.baselines import BASELINES, score_baseline, score_majority
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


def mim(*arguments: str) -> None:
    """Run a mim command and stop if it fails."""
    say('mim ' + ' '.join(arguments))
    subprocess.run([str(Path(sys.executable).parent / 'mim'), *arguments], check=True)


def train_and_test(config_name: str) -> tuple:
    """Train and test one demo config; return its figures and where its results are."""
    config = f'configs/demo/{config_name}.py'
    work_dir = Path('work_dirs') / config_name
    max_iters = Config.fromfile(config).train_cfg.max_iters
    started = (work_dir / 'last_checkpoint').is_file()
    if (work_dir / f'iter_{max_iters}.pth').is_file():
        say(f'{work_dir} holds a finished training of {config}')
    else:
        say(f'training takes 5 to 10 minutes on 2 cores; see {work_dir}')
        options = ['--work-dir', str(work_dir)] + (['--resume'] if started else [])
        mim('train', 'mmentity', config, *options)
    best = max(work_dir.glob('best_*_iter_*.pth'), key=lambda p: p.stat().st_mtime)
    record = work_dir / 'test' / 'figures.json'
    if not record.is_file() or json.loads(record.read_text())['checkpoint'] != str(best):
        options = ['--work-dir', str(record.parent), '--show-dir', 'images']
        mim('test', 'mmentity', config, '--checkpoint', str(best), *options)
    figures = json.loads(record.read_text())['figures']
    images = sorted(record.parent.glob('*/images'))[-1]
    where = [
        f'{config_name}: checkpoint  {best}',
        f'{config_name}: images      {images}',
        f'{config_name}: loss curve  {work_dir / "curves.png"}',
    ]
    return figures, where


def run_baseline(name: str, predictor: Predictor) -> dict:
    """Score a predictor without a network on the validation set of the demo."""
    say(f'scoring the {name} predictor')
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(f'configs/demo/{predictor.config}.py')
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.test_mode = True
    if predictor.task == 'entity':
        return score_baseline(DATASETS.build(config.val_dataloader.dataset), BASELINES[name])
    return score_majority(
        DATASETS.build({**config.val_dataloader.dataset, **_files_of(config.train_dataloader)}),
        DATASETS.build(config.val_dataloader.dataset),
        METRICS.build(config.val_evaluator),
        predictor.task,
    )


def _files_of(dataloader: Config) -> dict:
    return {key: dataloader.dataset[key] for key in ('ann_file', 'data_prefix')}


def main() -> None:
    """Run the demo for the predictors asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('predictors', nargs='+', choices=PREDICTORS)
    args = parser.parse_args()
    say(f'demo data in {DATA}: about 20 seconds the first time')
    make_demo_data(DATA)
    rows, where = {task: [] for task in SHOWN}, []
    for name in args.predictors:
        predictor = PREDICTORS[name]
        if predictor.baseline:
            figures = run_baseline(name, predictor)
        else:
            figures, files = train_and_test(predictor.config)
            where += files
        values = [figures[key] for key in SHOWN[predictor.task]]
        cells = ('-' if v is None or v != v else f'{v:.1f}' for v in values)
        rows[predictor.task].append([name, *cells])
    for task, lines in rows.items():
        if lines:
            names = [key.split('/')[-1] for key in SHOWN[task]]
            print(AsciiTable([[f'demo validation set, {task}, %', *names], *lines]).table)
    print('\n'.join(where))


if __name__ == '__main__':
    main()
