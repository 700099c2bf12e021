"""Train Mask2Former on the demo data, CropFormer from it, and show what the crops add.

What is finished is not done again; what was interrupted is resumed.
"""

import argparse
import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from demo_stages import FIRST, RUNS, STAGES, Stage, run, say, stages_of, train
from mmengine.config import Config
from PIL import Image
from terminaltables import AsciiTable

from mmentity.evaluation.baselines import BASELINES, score_without_network
from mmentity.evaluation.samples import ground_truth_of
from mmentity.preparation.synthetic import make_demo_data
from mmentity.structures import EntityMap
from mmentity.utils.files import whole_file
from mmentity.visualization.comparison import best_ious, draw_comparison
from mmentity.visualization.curves import draw_branches

DATA = 'data/entityseg_demo'
OUT = RUNS / 'demo'
# of a predicted entity that is drawn
SCORE_THR = 0.5


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
    'Mask2Former': Predictor('mask2former_swin-nano_demo_finetune', 'entity'),
    'CropFormer': Predictor('cropformer_swin-nano_demo', 'entity'),
}
for name in BASELINES:
    PREDICTORS[name] = Predictor(FIRST.config, 'entity', baseline=True)
for task in ('instance', 'semantic', 'panoptic'):
    PREDICTORS[task] = Predictor(f'{FIRST.config}_{task}', task)
    PREDICTORS[f'majority-{task}'] = PREDICTORS[task]._replace(baseline=True)


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
    chosen = [PREDICTORS[name] for name in args.predictors]
    stages = stages_of([predictor.config for predictor in chosen if not predictor.baseline])
    train(stages)
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
