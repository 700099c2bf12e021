"""Uses 12 to 15: prediction through mmdet's, mmseg's and mmentity's interfaces."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.evaluation.metrics import DumpDetResults
from mmdet.registry import MODELS
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmseg.apis import MMSegInferencer, inference_model
from PIL import Image

from mmentity.apis import EntityInferencer, get_model
from mmentity.converters import mmentity_to_detectron2
from mmentity.datasets import EntitySegInstanceDataset, EntitySegSemanticDataset
from mmentity.utils.shipped_configs import CONFIGS
from mmentity.visualization import EntityVisualizer, SemanticVisualizer
from tests.conftest import ROOT

ENTITIES = ('cropformer_swin-nano_demo', 'mask2former_swin-nano_demo')
TASKS = tuple(f'mask2former_swin-nano_demo_{task}' for task in ('instance', 'semantic', 'panoptic'))
KINDS = ('official', 'converted', 'own', 'ema')
# what each task predicts, as an array that tells two predictions apart
PREDICTED = {
    'instance': lambda sample: sample.pred_instances.masks.numpy(),
    'semantic': lambda sample: sample.pred_sem_seg.data.numpy(),
    'panoptic': lambda sample: sample.pred_panoptic_seg.sem_seg.numpy(),
}


def path_of(name):
    return str(ROOT / 'configs' / 'demo' / f'{name}.py')


def predicted(name, sample):
    """Id map of entities, masks or map of another task."""
    task = name.rpartition('_')[2]
    if task in PREDICTED:
        return PREDICTED[task](sample)
    return sample.pred_entity_map.ids.numpy()


@pytest.fixture(scope='module')
def state_dicts():
    """Random weights by config; classes are certain and masks differ."""
    made = {}
    for name in (*ENTITIES, *TASKS):
        # of which every task finds something
        torch.manual_seed(1)
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = MODELS.build(Config.fromfile(path_of(name)).model)
        with torch.no_grad():
            model.panoptic_head.mask_embed[-1].weight.mul_(20)
            model.panoptic_head.cls_embed.bias[-1] = -9
            model.panoptic_head.cls_embed.weight.mul_(9)
        made[name] = model.state_dict()
    return made


@pytest.fixture(scope='module')
def checkpoints(state_dicts, tmp_path_factory):
    """Checkpoints by config and kind: the same weights each time."""
    folder = tmp_path_factory.mktemp('checkpoints')
    hub = MessageHub('of the checkpoints')
    hub.update_scalar('train/loss', 1.5)
    paths = {}
    for name, weights in state_dicts.items():
        classes = {}
        if 'instance' in name or 'semantic' in name:
            dataset = EntitySegInstanceDataset if 'instance' in name else EntitySegSemanticDataset
            classes = {'dataset_meta': dataset.METAINFO}
        own = {
            'state_dict': weights,
            'meta': {'iter': 3, 'epoch': 0, **classes},
            'message_hub': hub.state_dict(),
        }
        averaged = {f'module.{key}': torch.zeros_like(value) for key, value in weights.items()}
        kinds = {
            'official': {'model': mmentity_to_detectron2(weights), 'iteration': 7},
            'converted': {'state_dict': weights, 'meta': {}},
            'own': own,
            'ema': {**own, 'ema_state_dict': {**averaged, 'steps': torch.tensor(1)}},
        }
        for kind, content in kinds.items():
            paths[name, kind] = str(folder / f'{name}_{kind}.pth')
            torch.save(content, paths[name, kind])
    return paths


@pytest.fixture(scope='module')
def images(demo_root):
    """Two images of the demo data."""
    paths = sorted(str(path) for path in (demo_root / 'images').rglob('*.jpg'))
    assert len(paths) > 1
    return paths[:2]


def read_bgr(path):
    return np.ascontiguousarray(np.asarray(Image.open(path).convert('RGB'))[..., ::-1])


def det_inferencer(name, checkpoint, **options):
    return DetInferencer(path_of(name), checkpoint, device='cpu', show_progress=False, **options)


@pytest.mark.parametrize('name', ENTITIES)
def test_every_way_and_checkpoint_gives_the_same_id_map(name, checkpoints, images):
    """Use 12 and what else loads weights, to the pixel."""
    path = images[0]
    maps = {}
    for kind in KINDS:
        checkpoint = checkpoints[name, kind]
        model = init_detector(path_of(name), checkpoint, device='cpu')
        assert model.dataset_meta['classes'] == ('entity',)
        maps['init_detector', kind] = predicted(name, inference_detector(model, path))[0]
        inferencer = EntityInferencer(path_of(name), checkpoint, 'cpu', show_progress=False)
        maps['EntityInferencer', kind] = inferencer.predict(path).entity_map
        called = det_inferencer(name, checkpoint)(path, return_datasamples=True)
        maps['DetInferencer', kind] = predicted(name, called['predictions'][0])[0]
        model = get_model(path_of(name), checkpoint, 'cpu')
        maps['get_model', kind] = predicted(name, inference_detector(model, path))[0]
        assert model.dataset_meta['classes'] == ('entity',)
    first = maps['init_detector', 'own']
    assert len(np.unique(first)) > 3
    for way, ids in maps.items():
        assert np.array_equal(ids, first), way


@pytest.mark.parametrize('name', [*ENTITIES, *TASKS])
def test_13_inference_detector_of_path_list_and_array(name, checkpoints, images):
    """On every demo config, whose test pipelines load ground truth where there is one."""
    model = init_detector(path_of(name), checkpoints[name, 'own'], device='cpu')
    path = inference_detector(model, images[0])
    assert path.img_path == images[0]
    assert 'gt_instances' not in path
    listed = inference_detector(model, images)
    # mmdet changes the test pipeline of model.cfg at the first array, so arrays come last
    array = inference_detector(model, read_bgr(images[0]))
    arrays = inference_detector(model, [read_bgr(image) for image in images])
    expected = predicted(name, path)
    assert len(np.unique(expected)) > 1
    assert len(listed) == len(arrays) == 2
    for sample in (listed[0], array, arrays[0]):
        assert np.array_equal(predicted(name, sample), expected)
    assert np.array_equal(predicted(name, arrays[1]), predicted(name, listed[1]))


@pytest.mark.parametrize('name', sorted(p.stem for p in CONFIGS.glob('*.py')))
def test_13_and_14_shipped_configs_begin_with_the_loader_of_inferencers(name):
    """Their pipelines are built as ``DetInferencer`` and ``MMSegInferencer`` build them."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    inferencers = [DetInferencer, *([MMSegInferencer] if 'semantic' in name else [])]
    for kind in inferencers:
        scope = {DetInferencer: 'mmdet', MMSegInferencer: 'mmseg'}[kind]
        with DefaultScope.overwrite_default_scope(scope):
            pipeline = kind._init_pipeline(kind.__new__(kind), Config.fromfile(config.filename))
        packed = pipeline(np.zeros((60, 80, 3), np.uint8))
        assert packed['inputs'].shape[0] == (5 if name.startswith('cropformer') else 1)
        assert packed['data_samples'].ori_shape == (60, 80)
    assert config.test_pipeline[0] == config.test_dataloader.dataset.pipeline[0]


@pytest.mark.parametrize('name', [*ENTITIES, *TASKS])
def test_14_det_inferencer_writes_predictions_and_drawings(name, checkpoints, images, tmp_path):
    inferencer = det_inferencer(name, checkpoints[name, 'own'])
    array = read_bgr(images[1])
    out = tmp_path / 'new' / 'out'
    results = inferencer(
        [images[0], array], out_dir=str(out), no_save_pred=False, return_vis=True, batch_size=2
    )
    stem = images[0].rpartition('/')[2].rpartition('.')[0]
    assert sorted(path.name for path in (out / 'vis').iterdir()) == ['00000001.jpg', f'{stem}.jpg']
    for drawn, image in zip(results['visualization'], (read_bgr(images[0]), array)):
        assert drawn.shape == image.shape
        assert not np.array_equal(drawn, image[..., ::-1])
    row = json.loads((out / 'preds' / f'{stem}.json').read_text())
    assert (out / 'preds' / '0.json').is_file()
    task = name.rpartition('_')[2]
    if task == 'instance':
        assert row['masks'][0]['size'] == list(array.shape[:2])
    if task in ('instance', 'demo'):
        assert len(row['scores']) == len(row['labels']) == len(row['bboxes']) > 1
    if task == 'panoptic':
        assert (out / 'preds' / f'{stem}_panoptic_seg.png').is_file()


def test_14_mmseg_inferencer_with_the_semantic_config(checkpoints, images, tmp_path):
    name = TASKS[1]
    for kind in KINDS:
        inferencer = MMSegInferencer(path_of(name), checkpoints[name, kind], device='cpu')
        inferencer.show_progress = False
        out = tmp_path / kind
        results = inferencer([images[0], read_bgr(images[0])], out_dir=str(out), return_vis=True)
        one, other = results['predictions']
        model = get_model(name, checkpoints[name, kind], 'cpu')
        expected = inference_detector(model, images[0]).pred_sem_seg.data[0].numpy()
        assert inferencer.visualizer.dataset_meta['classes'] == model.dataset_meta['classes']
        assert len(model.dataset_meta['classes']) == 150
        assert np.array_equal(one, other)
        assert np.array_equal(one, expected)
        assert np.array_equal(inference_model(model, images[0]).pred_sem_seg.data[0], expected)
        with Image.open(out / 'pred' / '00000000_pred.png') as written:
            assert np.array_equal(np.asarray(written), expected)
        assert results['visualization'][0].shape == read_bgr(images[0]).shape
        assert len(list((out / 'vis').iterdir())) == 2


def save_kinds(folder):
    """The same squares in kinds of files that loaders often get wrong."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (12, 16), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    rgb = rng.integers(0, 255, (12, 16, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    exif = Image.Exif()
    exif[0x0112] = 6
    transparent = np.dstack([rgb, np.full(grey.shape, 9, np.uint8)])
    images = {
        'grey': Image.fromarray(grey),
        'deep': Image.fromarray(grey.astype(np.uint16) * 257),
        'grey_alpha': Image.merge('LA', [Image.fromarray(grey), Image.new('L', (128, 96), 9)]),
        'colour': Image.fromarray(rgb),
        'alpha': Image.fromarray(transparent),
        'palette': Image.fromarray(rgb).quantize(200),
        'turned': Image.fromarray(rgb),
    }
    for name, image in images.items():
        image.save(folder / f'{name}.png', exif=exif if name == 'turned' else Image.Exif())
    return sorted(str(path) for path in folder.iterdir())


def test_14_det_inferencer_reads_every_kind_of_image(checkpoints, tmp_path):
    """16 bits, palettes, alpha and EXIF, as the inferencer of mmentity reads them."""
    name = ENTITIES[1]
    paths = save_kinds(tmp_path)
    checkpoint = checkpoints[name, 'own']
    ours = EntityInferencer(path_of(name), checkpoint, 'cpu', show_progress=False)
    results = det_inferencer(name, checkpoint)(paths, return_datasamples=True)['predictions']
    maps = {}
    for path, sample, result in zip(paths, results, ours(paths)):
        maps[path.rpartition('/')[2][:-4]] = ids = predicted(name, sample)[0]
        assert np.array_equal(ids, result.entity_map), path
    assert maps['turned'].shape == (128, 96)
    assert np.array_equal(maps['deep'], maps['grey'])
    assert np.array_equal(maps['grey_alpha'], maps['grey'])
    assert np.array_equal(maps['alpha'], maps['colour'])
    assert not np.array_equal(maps['grey'], maps['colour'])


@pytest.mark.parametrize('name', [*ENTITIES, *TASKS])
def test_15_visualizer_draws_as_mmdet_s(name, checkpoints, images, tmp_path):
    """The arguments, in order, and the result of ``DetLocalVisualizer.add_datasample``."""
    model = get_model(name, checkpoints[name, 'own'], 'cpu')
    sample = inference_detector(model, images[0])
    image = read_bgr(images[0])[..., ::-1]
    ours = SemanticVisualizer if 'semantic' in name else EntityVisualizer
    visualizers = [ours(f'ours {name}')]
    if 'semantic' not in name:
        visualizers.append(DetLocalVisualizer(f'mmdet {name}'))
    for number, visualizer in enumerate(visualizers):
        visualizer.dataset_meta = model.dataset_meta
        path = tmp_path / 'new' / f'{number}.png'
        draw = (False, True, False, 0, str(path), 0.1)
        visualizer.add_datasample('name', image.astype(np.float32), sample, *draw)
        with Image.open(path) as written:
            written = np.asarray(written)
        for drawn in (written, visualizer.get_image()):
            assert drawn.shape == image.shape
            assert drawn.dtype == np.uint8
            assert not np.array_equal(drawn, image)


def test_15_mmdet_s_visualizer_draws_masks_of_rle_as_those_of_bool(checkpoints, images):
    name = TASKS[0]
    image = read_bgr(images[0])[..., ::-1]
    drawn = {}
    for masks in ('rle', 'bool'):
        config = Config.fromfile(path_of(name))
        config.model.test_cfg.masks = masks
        model = get_model(config, checkpoints[name, 'own'], 'cpu')
        sample = inference_detector(model, images[0])
        visualizer = DetLocalVisualizer(f'masks of {masks}')
        visualizer.dataset_meta = model.dataset_meta
        # colours are jittered at random
        np.random.seed(0)
        visualizer.add_datasample('name', image, sample, draw_gt=False)
        drawn[masks] = visualizer.get_image()
        # what mmdet's test.py --out does
        dump = DumpDetResults(f'{masks}.pkl')
        dump.process({}, [sample.to_dict()])
        pickled = pickle.loads(pickle.dumps(dump.results))
        drawn[masks, 'pkl'] = [mask['counts'] for mask in pickled[0]['pred_instances']['masks']]
    assert np.array_equal(drawn['rle'], drawn['bool'])
    assert drawn['rle', 'pkl'] == drawn['bool', 'pkl'] != []


def test_documented_examples_run(checkpoints, images, tmp_path, monkeypatch):
    """The section of docs/inference.md, with nano models in the place of the large ones."""
    text = (ROOT / 'docs' / 'inference.md').read_text()
    section = re.search('## From mmdet and mmseg\n(.*?)\n## ', text, flags=re.DOTALL)[1]
    names = {
        'cropformer_hornet-l_3x': ENTITIES[0],
        'configs/cropformer_hornet-l_3x.py': path_of(ENTITIES[0]),
        'CropFormer_hornet_3x_03823a.pth': checkpoints[ENTITIES[0], 'official'],
        'configs/mask2former_swin-l_3x_semantic.py': path_of(TASKS[1]),
        'mask2former_swin-l_3x_semantic.pth': checkpoints[TASKS[1], 'own'],
    }
    for name, nano in names.items():
        assert repr(name) in section
        section = section.replace(repr(name), repr(nano))
    (tmp_path / 'frames').mkdir()
    for image, name in zip(images, ('street.jpg', 'street_next.jpg')):
        shutil.copy(image, tmp_path / name)
        shutil.copy(image, tmp_path / 'frames')
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r'```python\n(.*?)```', section, flags=re.DOTALL):
        exec(compile(code, 'docs/inference.md', 'exec'), {'__name__': 'docs'})
    written = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / 'out').rglob('*.*')}
    frames = [path.stem for path in (tmp_path / 'frames').iterdir()]
    assert {f'out/vis/{stem}.jpg' for stem in frames} <= written
    assert {f'out/preds/{stem}.json' for stem in frames} <= written
    assert {'out/pred/00000000_pred.png', 'out/vis/street.jpg'} <= written
