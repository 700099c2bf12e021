"""Train Mask2Former on the demo data, CropFormer from it, and show what the crops add.

What is finished is not done again; what was interrupted is resumed.
"""

import argparse
import json
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.config import Config
from PIL import Image
from terminaltables import AsciiTable

from mmentity.evaluation.baselines import BASELINES, score_without_network
from mmentity.evaluation.samples import ground_truth_of
from mmentity.preparation.synthetic import make_demo_data
from mmentity.structures import EntityMap
from mmentity.utils.files import whole_file
from mmentity.visualization.comparison import best_ious, draw_comparison
from mmentity.visualization.curves import draw_branches, read_scalars

DATA = 'data/entityseg_demo'
RUNS = Path('work_dirs')
OUT = RUNS / 'demo'
# of a predicted entity that is drawn
SCORE_THR = 0.5
# settings that a work directory must share with its config, or it is of another recipe
RECIPE = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg')


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


class Stage(NamedTuple):
    """One training.

    Attributes:
        config: Config of the model, without folder and suffix.
        title: What it is, for the progress.
        start: Config whose trained weights it begins with, or None.
        cost: Time of an iteration over that of Mask2Former.
    """

    config: str
    title: str
    start: Optional[str] = None
    cost: float = 1.0

    @property
    def path(self) -> str:
        """Path of the config."""
        return f'configs/demo/{self.config}.py'

    @property
    def work_dir(self) -> Path:
        """Work directory."""
        return RUNS / self.config

    @property
    def max_iters(self) -> int:
        """Iterations of the whole training."""
        return Config.fromfile(self.path).train_cfg.max_iters

    @property
    def last(self) -> Path:
        """The checkpoint of a finished training."""
        return self.work_dir / f'iter_{self.max_iters}.pth'


SHOWN = {
    'entity': [f'entity/{key}' for key in ('APe', 'APe_50', 'APe_75', 'APe_s', 'APe_m', 'APe_l')],
    'instance': [f'coco/segm_mAP{key}' for key in ('', '_50', '_75', '_s', '_m', '_l')],
    'semantic': ['mIoU', 'mAcc', 'aAcc'],
    'panoptic': [f'coco_panoptic/{key}' for key in ('PQ', 'SQ', 'RQ', 'PQ_th', 'PQ_st')],
}
FIRST = Stage('mask2former_swin-nano_demo', 'Mask2Former from nothing')
STAGES = {
    stage.config: stage
    for stage in (
        FIRST,
        Stage('mask2former_swin-nano_demo_finetune', 'Mask2Former from it', FIRST.config),
        Stage('cropformer_swin-nano_demo', 'CropFormer from it', FIRST.config, cost=2.1),
    )
}
PREDICTORS = {
    'Mask2Former': Predictor('mask2former_swin-nano_demo_finetune', 'entity'),
    'CropFormer': Predictor('cropformer_swin-nano_demo', 'entity'),
}
for name in BASELINES:
    PREDICTORS[name] = Predictor(FIRST.config, 'entity', baseline=True)
for task in ('instance', 'semantic', 'panoptic'):
    PREDICTORS[task] = Predictor(f'{FIRST.config}_{task}', task)
    PREDICTORS[f'majority-{task}'] = PREDICTORS[task]._replace(baseline=True)
    STAGES[PREDICTORS[task].config] = Stage(PREDICTORS[task].config, f'Mask2Former, {task}')


def say(text: str, end: str = '\n') -> None:
    """Print a step with the time of day."""
    print(f'[{time.strftime("%H:%M:%S")}] {text}', end=end, flush=True)


def stages_of(predictors: Sequence[Predictor]) -> list[Stage]:
    """List the trainings that some rows need, each after the one that it begins with."""
    configs: dict[str, None] = {}
    for predictor in predictors:
        if not predictor.baseline:
            start = STAGES[predictor.config].start
            configs.update(dict.fromkeys([start] if start else []))
            configs[predictor.config] = None
    return [STAGES[config] for config in configs]


def train(stages: Sequence[Stage], index: int) -> None:
    """Train one of the stages, or what is left of it."""
    stage = stages[index]
    title = f'stage {index + 1} of {len(stages)}, {stage.title}'
    check_work_dir(stage)
    if stage.last.is_file():
        say(f'{title}: finished in {stage.work_dir}')
        return
    options = ['--work-dir', str(stage.work_dir)]
    if (stage.work_dir / 'last_checkpoint').is_file():
        options.append('--resume')
    elif stage.start is not None:
        options += ['--cfg-options', f'load_from={STAGES[stage.start].last}']
    run(
        ['train', stage.path, *options],
        stage.work_dir / 'output.txt',
        title,
        lambda process: watch(process, stages, index, title),
    )


def run(
    arguments: Sequence[str],
    log: Path,
    title: str,
    wait: Callable[[subprocess.Popen], object] = subprocess.Popen.wait,
) -> None:
    """Run a command of mmentity with its output in a file, and stop if it fails."""
    say(f'{title}: mmentity {" ".join(arguments)}')
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as output:
        command = [sys.executable, '-m', 'mmentity', *arguments]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait(process)
        except KeyboardInterrupt:
            # it was interrupted, too
            process.wait()
            raise
    if process.returncode != 0:
        lines = log.read_text(errors='replace').splitlines()
        sys.exit('\n'.join([*lines[-20:], f'{title} failed; its output is in {log}']))


def watch(process: subprocess.Popen, stages: Sequence[Stage], index: int, title: str) -> None:
    """Show how far a training is, whenever it has logged, until it ends."""
    shown = None
    while process.poll() is None:
        time.sleep(1)
        rows = [row for row in read_scalars(stages[index].work_dir) if 'loss' in row]
        if rows and rows[-1] != shown:
            shown = rows[-1]
            text = f'{title}: {progress(stages, index, shown)}'
            if sys.stdout.isatty():
                columns = shutil.get_terminal_size().columns - len('[00:00:00] ') - 1
                say(f'\033[K{text[:columns]}', end='\r')
            else:
                say(text)
    if shown is not None and sys.stdout.isatty():
        print()


def progress(stages: Sequence[Stage], index: int, row: dict[str, Any]) -> str:
    """Say the time left, of this stage and of all, iteration and loss.

    Args:
        stages: All stages.
        index: Which of them trains.
        row: Scalars that it logged last.
    """
    stage = stages[index]
    seconds = row['time'] * (stage.max_iters - row['step'])
    of_mask2former = row['time'] / stage.cost
    later = [s for s in stages[index + 1 :] if not s.last.is_file()]
    total = seconds + sum(of_mask2former * s.cost * s.max_iters for s in later)
    return (
        f'{minutes(seconds)} left, {minutes(total)} for all stages; '
        f'iteration {row["step"]:,} of {stage.max_iters:,}, loss {row["loss"]:.2f}'
    )


def minutes(seconds: float) -> str:
    """Write a time, rounded up to half minutes."""
    return f'{np.ceil(seconds / 30) / 2:.3g} min'


def check_work_dir(stage: Stage) -> None:
    """Refuse to continue what was begun with other settings or other weights."""
    begun = stage.work_dir / f'{stage.config}.py'
    if not begun.is_file():
        return
    old, new = Config.fromfile(begun), Config.fromfile(stage.path)
    changed = [key for key in RECIPE if old.get(key) != new.get(key)]
    if changed:
        sys.exit(
            f'{stage.work_dir} was trained with other settings ({", ".join(changed)}); remove it '
            'or move it away'
        )
    start = STAGES[stage.start].last if stage.start else None
    if start and start.is_file() and start.stat().st_mtime > begun.stat().st_mtime:
        sys.exit(f'{stage.work_dir} is older than {start}; remove it or move it away')


def test(stage: Stage) -> dict[str, float]:
    """Test the best checkpoint of a training, or read what such a test found."""
    best = max(stage.work_dir.glob('best_*_iter_*.pth'), key=lambda p: p.stat().st_mtime)
    folder = stage.work_dir / 'test'
    record = folder / 'metrics.json'
    if not record.is_file() or json.loads(record.read_text())['checkpoint'] != str(best):
        options = ['--work-dir', str(folder), '--out', str(predictions_of(stage))]
        command = ['test', stage.path, str(best), '--show-dir', 'images', *options]
        run(command, folder / 'output.txt', f'testing {stage.title}')
    return json.loads(record.read_text())['metrics']


def predictions_of(stage: Stage) -> Path:
    """Where a test leaves its predictions."""
    return stage.work_dir / 'test' / 'predictions.pkl'


class Compared(NamedTuple):
    """One image with what each model predicts for it."""

    path: str
    ground_truth: EntityMap
    predictions: dict[str, EntityMap]

    @property
    def gain(self) -> float:
        """Mean IoU of the last model minus that of the first."""
        first, *_, last = self.predictions.values()
        return float(
            np.mean(best_ious(self.ground_truth, last) - best_ious(self.ground_truth, first))
        )


def compare(names: Sequence[str]) -> Path:
    """Draw images at which the last model gains: the most, at the upper decile, and quartile."""
    dumps = [pickle.loads(predictions_of(STAGES[PREDICTORS[n].config]).read_bytes()) for n in names]
    images = []
    for rows in zip(*dumps):
        maps = {name: drawn_entities(row) for name, row in zip(names, rows)}
        images.append(Compared(rows[0]['img_path'], ground_truth_of(rows[0]).entities, maps))
    ranked = sorted(images, key=lambda image: -image.gain)
    sheet = []
    for rank in (0, len(ranked) // 10, len(ranked) // 4):
        image = ranked[rank]
        say(f'image {rank + 1} of {len(ranked)} by gain: {image.path}, {100 * image.gain:+.1f} IoU')
        img = np.asarray(Image.open(image.path).convert('RGB'))
        sheet.append(draw_comparison(img, image.ground_truth, image.predictions))
    path = OUT / 'comparison.jpg'
    with whole_file(path) as partial:
        Image.fromarray(np.concatenate(sheet)).save(partial, format='JPEG', quality=90)
    return path


def drawn_entities(row: dict[str, Any]) -> EntityMap:
    """Entities of a dumped prediction whose score is high enough to be drawn."""
    instances = row['pred_instances']
    entities = EntityMap.from_segmentations(instances['masks'], *row['ori_shape'][:2])
    return entities.select((instances['scores'].numpy() >= SCORE_THR) & (entities.areas > 0))


def score(name: str) -> list[str]:
    """Make the row of one predictor."""
    predictor = PREDICTORS[name]
    if predictor.baseline:
        say(f'scoring the {name} predictor')
        config = Config.fromfile(f'configs/demo/{predictor.config}.py')
        metrics = score_without_network(config, name, predictor.task)
    else:
        metrics = test(STAGES[predictor.config])
    values = (metrics[key] for key in SHOWN[predictor.task])
    return [name, *('-' if v is None or v != v else f'{v:.1f}' for v in values)]


def main() -> None:
    """Run the demo for the predictors asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('predictors', nargs='+', choices=PREDICTORS)
    args = parser.parse_args()
    say(f'demo data in {DATA}: about 30 seconds the first time')
    make_demo_data(DATA)
    stages = stages_of([PREDICTORS[name] for name in args.predictors])
    for index in range(len(stages)):
        train(stages, index)
    rows: dict[str, list[list[str]]] = {task: [] for task in SHOWN}
    for name in args.predictors:
        rows[PREDICTORS[name].task].append(score(name))
    for task, lines in rows.items():
        if lines:
            names = [key.split('/')[-1] for key in SHOWN[task]]
            print(AsciiTable([[f'demo validation set, {task}, %', *names], *lines]).table)
    for stage in stages:
        print(f'{stage.title}: {stage.work_dir}, loss curve {stage.work_dir / "curves.png"}')
    models = [n for n in args.predictors if n in ('Mask2Former', 'CropFormer')]
    if len(models) > 1:
        branches = [(stage.work_dir, stage.title, stage.start is not None) for stage in stages]
        print(f'training curves: {draw_branches(OUT / "curves.png", branches, "entity/APe")}')
        print(f'images side by side: {compare(models)}')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        say('interrupted; the same command continues')
        sys.exit(130)
