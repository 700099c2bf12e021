"""Make the demo data, train and test on it, and show what came out.

What is finished is not done again; what was interrupted is resumed.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from terminaltables import AsciiTable

from mmentity.datasets.synthetic import make_demo_data
from mmentity.evaluation.baselines import BASELINES, score_baseline

DATA = 'data/entityseg_demo'
SHOWN = ('APe', 'APe_50', 'APe_75', 'APe_s', 'APe_m', 'APe_l')


def say(text: str) -> None:
    """Print a step with the time of day."""
    print(f'[{time.strftime("%H:%M:%S")}] {text}', flush=True)


def mim(*arguments: str) -> None:
    """Run a mim command and stop if it fails."""
    say('mim ' + ' '.join(arguments))
    subprocess.run([str(Path(sys.executable).parent / 'mim'), *arguments], check=True)


def train_and_test(model: str) -> dict:
    """Train and test one demo config; return its figures and results."""
    config = f'configs/demo/{model}_swin-nano_demo.py'
    work_dir = Path('work_dirs') / Path(config).stem
    max_iters = Config.fromfile(config).train_cfg.max_iters
    started = (work_dir / 'last_checkpoint').is_file()
    if (work_dir / f'iter_{max_iters}.pth').is_file():
        say(f'{work_dir} holds a finished training of {config}')
    else:
        say(f'training takes 5 to 10 minutes on 2 cores; see {work_dir}')
        options = ['--work-dir', str(work_dir)] + (['--resume'] if started else [])
        mim('train', 'mmentity', config, *options)
    best = max(work_dir.glob('best_entity_APe_iter_*.pth'), key=lambda p: p.stat().st_mtime)
    record = work_dir / 'test' / 'figures.json'
    if not record.is_file() or json.loads(record.read_text())['checkpoint'] != str(best):
        options = ['--work-dir', str(record.parent), '--show-dir', 'pictures']
        mim('test', 'mmentity', config, '--checkpoint', str(best), *options)
    figures = json.loads(record.read_text())['figures']
    pictures = sorted(record.parent.glob('*/pictures'))[-1]
    return {
        'figures': figures,
        'where': [f'{model}: checkpoint  {best}', f'{model}: pictures    {pictures}',
                  f'{model}: loss curve  {work_dir / "curves.png"}'],
    }  # fmt: skip


def baseline(name: str) -> dict:
    """Score a predictor without a network on the validation set of the demo."""
    say(f'scoring the {name} predictor')
    register_all_modules(init_default_scope=True)
    dataset = Config.fromfile('configs/demo/mask2former_swin-nano_demo.py').val_dataloader.dataset
    dataset.pipeline = [
        {'type': 'mmentity.LoadEntityImage'},
        {'type': 'mmentity.LoadEntityAnnotations'},
    ]
    return {'figures': score_baseline(DATASETS.build(dataset), BASELINES[name]), 'where': []}


def main() -> None:
    """Run the demo for the models asked for."""
    models = ('cropformer', 'mask2former')
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('predictors', nargs='+', choices=(*models, *BASELINES))
    args = parser.parse_args()
    say(f'demo data in {DATA}: about 20 seconds the first time')
    make_demo_data(DATA)
    rows, where = [], []
    for name in args.predictors:
        result = train_and_test(name) if name in models else baseline(name)
        where += result['where']
        values = [result['figures'][f'entity/{key}'] for key in SHOWN]
        rows.append([name, *('-' if v is None or v != v else f'{v:.1f}' for v in values)])
    print(AsciiTable([['demo validation set, %', *SHOWN], *rows]).table)
    print('\n'.join(where))


if __name__ == '__main__':
    main()
