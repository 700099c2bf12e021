"""Scoring as users of mmdet do it: its tools on our configs, and its detectors on our data.

The numbers are those of the table of uses.
"""

import json
import pickle
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmdet.evaluation.metrics import CocoMetric
from mmdet.registry import DATASETS, MODELS
from mmdet.utils import register_all_modules
from mmdet.visualization import DetLocalVisualizer
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from pycocotools import mask as mask_utils

from mmentity.evaluation import DumpEntityResults, EntityMetric, EntitySegInstanceMetric
from tests.conftest import require_compiled_ops
from tests.uses.nano import CONFIGS, MMDET_TOOLS, Nano, mmdet_tool, mmentity, named

# the demo data has one validation image in the folder of the class-aware tasks
IMAGES = {'entity': 3, 'instance': 1, 'semantic': 1, 'panoptic': 1}
KEYS = {
    'entity': 'entity/APe',
    'instance': 'coco/segm_mAP',
    'semantic': 'mIoU',
    'panoptic': 'coco_panoptic/PQ',
}


@pytest.fixture(scope='module', params=CONFIGS)
def task(request):
    if request.param == 'panoptic' and find_spec('panopticapi') is None:
        pytest.skip('PQ needs panopticapi')
    return request.param


@pytest.fixture(scope='module')
def nano(task, demo_root, tmp_path_factory):
    return Nano(task, demo_root, tmp_path_factory.mktemp(task))


@pytest.fixture(scope='module')
def tested(nano):
    """Work directory of ``mmentity test --out``."""
    out = nano.folder / 'ours.pkl'
    return SimpleNamespace(work_dir=nano.test('--out', out, '--show-dir', 'images'), out=out)


@pytest.fixture(scope='module')
def mmdet_tested(nano):
    """Work directory of mmdet's ``test.py --out``."""
    out = nano.folder / 'mmdet.pkl'
    return SimpleNamespace(work_dir=nano.mmdet_test('--out', out, '--show-dir', 'images'), out=out)


def metrics_of(work_dir):
    """Metrics that mmengine's runner has logged for a test."""
    found = [path for path in work_dir.glob('*/*.json') if path.stem == path.parent.name]
    rows = json.loads(found[0].read_text().splitlines()[-1])
    return {name: value for name, value in rows.items() if 'time' not in name}


def test_02_both_test_tools_give_the_same_metrics(tested, mmdet_tested, task):
    ours, theirs = metrics_of(tested.work_dir), metrics_of(mmdet_tested.work_dir)
    assert KEYS[task] in ours
    assert ours == pytest.approx(theirs, nan_ok=True)
    for run in (tested, mmdet_tested):
        assert len(list(run.work_dir.glob('*/images/*.jpg'))) == IMAGES[task]


def test_03_out_holds_every_prediction(tested, task):
    rows = pickle.loads(tested.out.read_bytes())
    assert len(rows) == IMAGES[task]
    for row in rows:
        assert tuple(row['ori_shape']) == (96, 128)
        if task in ('entity', 'instance'):
            instances = row['pred_instances']
            count = {'entity': 30, 'instance': 100}[task]
            assert len(instances['masks']) == len(instances['scores']) == count
            assert type(instances['masks'][0]) is dict
            decoded = mask_utils.decode(instances['masks'])
            assert decoded.shape == (96, 128, count)
            if task == 'entity':
                assert decoded.sum(-1).max() <= 1
            assert row['instances'][0]['area'] > 0
        elif task == 'semantic':
            assert row['pred_sem_seg']['data'].shape == (1, 96, 128)
            assert row['pred_sem_seg']['data'].dtype == torch.uint8
            assert row['gt_sem_seg']['data'].shape == (1, 96, 128)
        else:
            assert row['pred_panoptic_seg']['sem_seg'].shape == (1, 96, 128)
            assert row['segments_info']


def test_04_05_mmdet_dumps_every_task(mmdet_tested, task):
    rows = pickle.loads(mmdet_tested.out.read_bytes())
    assert len(rows) == IMAGES[task]
    if task == 'instance':
        masks = rows[0]['pred_instances']['masks']
        assert mask_utils.decode(masks).shape == (96, 128, 100)


def test_21_eval_metric_scores_both_pickles(nano, tested, mmdet_tested):
    expected = metrics_of(tested.work_dir)
    for out in (tested.out, mmdet_tested.out):
        mmdet_tool('analysis_tools/eval_metric', nano.config, out)
        config = Config.fromfile(nano.config)
        evaluator = Evaluator(config.val_evaluator)
        evaluator.dataset_meta = DATASETS.build(config.test_dataloader.dataset).metainfo
        found = evaluator.offline_evaluate(pickle.loads(out.read_bytes()))
        assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_22_analyze_results_draws_the_best_and_the_worst(nano, tested, task):
    """mmdet's own tool asks for its own loaders; that of the same name here does it."""
    folder = nano.folder / 'analysis'
    tool = 'analyze-results'
    mmentity(tool, nano.config, tested.out, folder, '--topk', 1)
    scores = json.loads((folder / 'scores.json').read_text())
    assert scores['metric'] == KEYS[task]
    assert 1 <= len(scores['images']) <= IMAGES[task]
    drawn = [list((folder / name).glob('*.png')) for name in ('good', 'bad')]
    assert [len(paths) for paths in drawn] == [1, 1]
    values = list(scores['images'].values())
    assert drawn[0][0].name.startswith(f'{max(values):.3f}_')
    assert drawn[1][0].name.startswith(f'{min(values):.3f}_')


@pytest.mark.parametrize('task', ['entity'], indirect=True)
def test_22_analyze_results_of_mmdet_asks_for_its_loaders(nano, tested):
    with pytest.raises(AssertionError, match='loading image and annotations related pipeline'):
        mmdet_tool('analysis_tools/analyze_results', nano.config, tested.out, nano.folder)


def test_14_15_masks_as_rle_in_the_visualizer_and_inferencer_of_mmdet(demo_root, tmp_path):
    nano = Nano('instance', demo_root, tmp_path)
    dataset = DATASETS.build(Config.fromfile(nano.config).test_dataloader.dataset)
    with torch.no_grad():
        (sample,) = nano.build().test_step(pseudo_collate([dataset[0]]))
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dataset.metainfo
    sample.pred_instances = sample.pred_instances[:5]
    path = tmp_path / 'drawn.png'
    image = np.zeros((96, 128, 3), np.uint8)
    visualizer.add_datasample(
        'image', image, sample, draw_gt=False, pred_score_thr=0.0, out_file=str(path)
    )
    assert path.is_file()
    found = DetInferencer.pred2dict(SimpleNamespace(), sample)
    assert np.array_equal(
        mask_utils.decode(found['masks']).transpose(2, 0, 1), sample.pred_instances.masks.numpy()
    )


@pytest.mark.parametrize(('task', 'views'), [('entity', 5), ('instance', 1)], indirect=['task'])
class TestFlops:
    def test_16_get_flops_of_mmdet(self, nano, views):
        printed = mmdet_tool('analysis_tools/get_flops', nano.config, '--num-images', 1)
        assert 'Flops' in printed
        assert '(64, 96)' in printed

    def test_17_flops(self, nano, views):
        views = min(views, 2)
        printed = mmentity('flops', nano.config, '--shape', 32, 32, '--views', views)
        assert f'{views} x 32 x 32 px' in printed

    def test_18_get_model_complexity_info(self, nano, views):
        model = nano.build()
        silent = {'show_table': False, 'show_arch': False}
        with torch.no_grad():
            shape = (3, 32, 32) if views == 1 else (2, 3, 32, 32)
            assert get_model_complexity_info(model, shape, **silent)['flops'] > 1e6
            if views == 1:
                image = torch.rand(1, 3, 32, 32)
                assert torch.equal(model(image).mask_logits, model(image[None]).mask_logits)
            else:
                with pytest.raises(ValueError, match='whole image and its crops, got 1 view'):
                    model(torch.zeros(1, 3, 32, 32))


def test_19_browse_and_stats(demo_root, tmp_path):
    """mmdet's browse_dataset shows inputs of three axes; ours have views."""
    nano = Nano('entity', demo_root, tmp_path)
    printed = mmentity('browse', nano.config, '--number', 1, '--out-dir', tmp_path / 'browse')
    assert printed.strip().endswith('.png')
    assert 'images' in mmentity('stats', nano.config, '--out-dir', tmp_path / 'stats')
    arguments = ('--not-show', '--output-dir', tmp_path / 'mmdet')
    with pytest.raises(RuntimeError, match='permute'):
        mmdet_tool('analysis_tools/browse_dataset', nano.config, *arguments)


def test_20_analyze_logs_of_mmdet(demo_root, tmp_path, monkeypatch):
    if find_spec('seaborn') is None:
        # the tool only sets its style
        seaborn = SimpleNamespace(set_style=lambda style: None)
        monkeypatch.setitem(sys.modules, 'seaborn', seaborn)
    nano = Nano('entity', demo_root, tmp_path)
    settings = ('train_cfg.max_iters=4', 'train_cfg.val_interval=10')
    more = ('default_hooks.logger.interval=1', 'log_processor.window_size=1')
    mmentity('train', nano.config, '--work-dir', tmp_path, *named('logs'), *settings, *more)
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    assert 'average iter time' in mmdet_tool('analysis_tools/analyze_logs', 'cal_train_time', log)
    drawn = tmp_path / 'loss.png'
    keys = ('--keys', 'loss', 'per_view.loss_cls', '--out', drawn)
    mmdet_tool('analysis_tools/analyze_logs', 'plot_curve', log, *keys)
    assert drawn.is_file()


def mask_rcnn():
    """mmdet's Mask R-CNN with a ResNet-18, one class, random weights, all predictions."""
    require_compiled_ops()
    config = Config.fromfile(MMDET_TOOLS.parent / 'configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    model = config.model
    model.backbone.update(depth=18, init_cfg=None)
    model.neck.in_channels = [64, 128, 256, 512]
    model.roi_head.bbox_head.num_classes = model.roi_head.mask_head.num_classes = 1
    model.test_cfg.rpn.max_per_img = 20
    model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=10)
    return config


@pytest.fixture(scope='module')
def foreign(demo_root):
    """Samples of the demo data that Mask R-CNN has predicted, and its dataset."""
    config = mask_rcnn()
    register_all_modules(init_default_scope=True)
    pipeline = config.test_dataloader.dataset.pipeline
    pipeline[1].scale = (128, 96)
    pipeline[-1].meta_keys = (*pipeline[-1].meta_keys, 'instances')
    dataset = DATASETS.build(
        {
            'type': 'mmentity.EntitySegDataset',
            'data_root': str(demo_root),
            'ann_file': 'annotations/entity_segmentation/entityv2_010203_entity_val.json',
            'data_prefix': {'img': 'images/'},
            'test_mode': True,
            'pipeline': pipeline,
        }
    )
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    with torch.no_grad():
        samples = model.test_step(pseudo_collate([dataset[k] for k in range(len(dataset))]))
    return dataset, [sample.to_dict() for sample in samples]


def score(metric, dataset, samples):
    metric.dataset_meta = dataset.metainfo
    metric.process({}, samples)
    return metric.evaluate(len(samples))


class TestForeignDetector:
    """Use 25: Mask R-CNN on EntitySegDataset."""

    def test_25_entity_metric_scores_its_masks(self, foreign):
        metrics = score(EntityMetric(overlap=True), *foreign)
        assert 0 <= metrics['entity/AP'] <= 100
        # random masks overlap
        assert 'entity/APe' not in metrics

    def test_25_entity_metric_resolves_overlaps_where_asked(self, foreign):
        dataset, samples = foreign
        metrics = score(EntityMetric(resolve_overlaps=True), dataset, samples)
        assert 0 <= metrics['entity/APe'] <= 100
        with pytest.raises(ValueError, match='masks of image .* overlap.*resolve_overlaps=True'):
            score(EntityMetric(), dataset, samples)

    def test_25_the_annotations_are_taken_from_the_instances_or_the_masks(self, foreign):
        dataset, samples = foreign
        without = [{k: v for k, v in s.items() if k != 'instances'} for s in samples]
        first, second = (
            score(EntityMetric(overlap=True), dataset, some) for some in (samples, without)
        )
        assert first == pytest.approx(second, nan_ok=True)

    def test_25_true_masks_score_100(self, foreign):
        dataset, samples = foreign
        perfect = [{**sample, 'pred_instances': as_prediction(sample)} for sample in samples]
        ann_file = dataset.ann_file
        metrics = score(EntityMetric(overlap=True), dataset, perfect)
        assert metrics['entity/APe'] == metrics['entity/AP'] == pytest.approx(100)
        metrics = score(EntitySegInstanceMetric(ann_file=ann_file), dataset, perfect)
        assert metrics['coco/segm_mAP'] == 100
        # without ann_file mmdet's metric makes categories of the classes of the dataset
        metrics = score(CocoMetric(metric='segm'), dataset, perfect)
        assert metrics['coco/segm_mAP'] == 1

    def test_25_categories_are_matched_by_name_without_ids(self, foreign, tmp_path):
        dataset, samples = foreign
        content = json.loads(Path(dataset.ann_file).read_text())
        content['categories'] = [{'id': 3, 'name': 'none'}, {'id': 7, 'name': 'thing'}]
        for annotation in content['annotations']:
            annotation['category_id'] = 7
        (tmp_path / 'named.json').write_text(json.dumps(content))
        metric = EntitySegInstanceMetric(ann_file=str(tmp_path / 'named.json'))
        metric.dataset_meta = {'classes': ('thing', 'none')}
        assert metric._category_ids() == [3, 7]
        metric.dataset_meta = {'classes': ('thing',)}
        perfect = [{**sample, 'pred_instances': as_prediction(sample)} for sample in samples]
        metric.process({}, perfect)
        assert metric.evaluate(len(perfect))['coco/segm_mAP'] == 100

    def test_25_categories_that_do_not_match_are_an_error(self, foreign):
        dataset, samples = foreign
        metric = EntitySegInstanceMetric(ann_file=dataset.ann_file)
        metric.dataset_meta = {'classes': ('this', 'that')}
        metric.process({}, samples)
        with pytest.raises(ValueError, match='2 classes.*0 categories of their names'):
            metric.evaluate(len(samples))

    def test_25_images_of_another_file_are_an_error(self, foreign, demo_root):
        dataset, samples = foreign
        metric = EntitySegInstanceMetric(ann_file=dataset.ann_file)
        with pytest.raises(ValueError, match='image id 987'):
            score(metric, dataset, [{**samples[0], 'img_id': 987}])


def as_prediction(sample):
    """The ground truth of a sample as a prediction."""
    instances = sample['gt_instances']
    count = len(instances['labels'])
    return {
        'scores': torch.linspace(1, 0.5, count),
        'labels': instances['labels'],
        'bboxes': torch.zeros(count, 4),
        'masks': torch.from_numpy(instances['masks'].to_ndarray()).bool(),
    }


def test_03_the_dump_takes_detectors_without_masks_too(tmp_path):
    dump = DumpEntityResults(str(tmp_path / 'boxes.pkl'))
    boxes = {'scores': torch.ones(1), 'labels': torch.zeros(1), 'bboxes': torch.zeros(1, 4)}
    sample = {'img_id': 1, 'img_path': 'a.jpg', 'ori_shape': (4, 4), 'pred_instances': boxes}
    annotated = {**sample, 'gt_instances': {'bboxes': torch.zeros(1, 4)}}
    dump.process({}, [sample, annotated])
    assert [set(row['pred_instances']) for row in dump.results] == [set(boxes), set(boxes)]
    assert 'instances' not in dump.results[1]
