"""Draw the images of a test with the best and the worst metric.

mmentity test CONFIG CHECKPOINT --out predictions.pkl
mmentity analyze-results CONFIG predictions.pkl work_dirs/analysis
"""

import argparse
import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS, VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from mmentity.cli.arguments import add_config_options
from mmentity.cli.runs import load_config
from mmentity.datasets.images import pil_to_bgr
from mmentity.evaluation.per_image import score_each_image
from mmentity.structures import RleMasks
from mmentity.utils.files import whole_file
from mmentity.utils.progress import show_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity analyze-results``."""
    parser.add_argument('config', help='config, by path or by the name of a shipped one')
    parser.add_argument('predictions', help='.pkl of mmentity test --out')
    parser.add_argument('show_dir', help='drawings go into its folders good and bad')
    parser.add_argument(
        '--metric',
        help='metric to sort by, such as entity/APe; default: that by which the best checkpoint '
        'is kept',
    )
    parser.add_argument('--topk', type=int, default=20, help='images in each folder')
    parser.add_argument(
        '--show-score-thr', type=float, default=0, help='least score of what is drawn, 0..1'
    )
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Score every image, write scores.json and draw."""
    if args.topk < 1:
        raise ValueError(f'--topk is {args.topk}; it must be at least 1')
    config = load_config(args)
    register_all_modules(init_default_scope=True)
    rows = _load(args.predictions)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    metric = args.metric or _best_metric(config)
    scores = score_each_image(rows, config.test_evaluator, dataset.metainfo, metric)
    scored = dict(enumerate(show_progress(scores, len(rows))))
    known = [k for k in scored if not math.isnan(scored[k])]
    ranked = sorted(known, key=lambda k: scored[k])
    folder = Path(args.show_dir)
    with whole_file(folder / 'scores.json') as partial:
        named = {str(rows[k]['img_path']): scored[k] for k in ranked}
        partial.write_text(json.dumps({'metric': metric, 'images': named}, indent=2))
    count = min(args.topk, (len(ranked) + 1) // 2)
    visualizer = VISUALIZERS.build(config.visualizer)
    visualizer.dataset_meta = dataset.metainfo
    places = {dataset.get_data_info(k)['img_id']: k for k in range(len(dataset))}
    for name, chosen in (('good', ranked[::-1][:count]), ('bad', ranked[:count])):
        for k in chosen:
            sample = _sample_of(rows[k], dataset, places)
            path = folder / name / f'{scored[k]:.3f}_{Path(sample.img_path).stem}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            visualizer.add_datasample(
                name,
                pil_to_bgr(Image.open(sample.img_path))[..., ::-1],
                sample,
                pred_score_thr=args.show_score_thr,
                out_file=str(path),
            )
            print(path)
    return 0


def _load(path: str) -> list[dict[str, Any]]:
    """Read dumped predictions."""
    try:
        with open(path, 'rb') as file:
            rows = pickle.load(file)
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f'{path} cannot be read ({error}); write it again') from error
    is_dump = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    if not is_dump or not rows or 'img_id' not in rows[0]:
        raise ValueError(f'{path} does not hold predictions of mmentity test --out')
    return rows


def _best_metric(config: Config) -> Any:
    name = config.get('default_hooks', {}).get('checkpoint', {}).get('save_best')
    return None if name in (None, 'auto') else name


def _sample_of(
    row: Mapping[str, Any], dataset: BaseDataset, places: Mapping[int, int]
) -> DetDataSample:
    """Join the ground truth of the dataset and a dumped prediction."""
    if row['img_id'] not in places:
        raise ValueError(
            f'image {row["img_id"]} of the predictions is not in the test data of the config; '
            'give the config of that test'
        )
    sample = dataset[places[row['img_id']]]['data_samples']
    if 'pred_instances' in row:
        fields = dict(row['pred_instances'])
        if 'masks' in fields:
            fields['masks'] = RleMasks(fields['masks'], *row['ori_shape'][:2])
        sample.pred_instances = InstanceData(**fields)
    for key, name in (('pred_sem_seg', 'data'), ('pred_panoptic_seg', 'sem_seg')):
        if key in row:
            setattr(sample, key, PixelData(**{name: torch.as_tensor(row[key][name])}))
    return sample
