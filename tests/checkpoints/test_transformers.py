"""Models as folders of transformers: the same numbers there, and the way back."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from PIL import Image
from torch.nn import functional as F  # noqa: N812

from mmentity.apis import EntityInferencer, get_model
from mmentity.checkpoints.configs import expected_shapes
from mmentity.checkpoints.publish_transformers import publish_transformers
from mmentity.checkpoints.read import read_checkpoint
from mmentity.checkpoints.recognise import HUGGING_FACE, map_to_transformers, recognise
from mmentity.cli import main
from mmentity.converters import WeightsError, convert_detectron2, load_weights
from mmentity.datasets.geometry import shortest_edge_size
from mmentity.utils.shipped_configs import get_config
from tests.checkpoints.official_names import FAMILIES, cheap_weights, official_shapes
from tests.models.parity import build

NANO = 'demo/mask2former_swin-nano_demo.py'
# width is larger than height, and neither of the resized sides is a multiple of 32
IMAGE, SHORT_SIDE = (150, 211), 170


def require_transformers():
    """Skip a test where there is no transformers that runs on this torch."""
    transformers = pytest.importorskip('transformers', reason='compares with transformers')
    if not transformers.utils.is_torch_available():
        pytest.skip('this transformers needs a newer torch')
    return transformers.Mask2FormerForUniversalSegmentation


def small(name, folder):
    """Write a shipped config, with small images in testing."""
    config = get_config(name)
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == 'mmentity.ResizeViews':
            step.short_side = SHORT_SIDE
    config.dump(folder / 'small.py')
    return folder / 'small.py'


def official_file(reference, family, folder):
    """Write official weights by the recipe."""
    weights = {
        name: torch.from_numpy(reference.recipe.fill(name, shape))
        for name, shape in official_shapes(reference, FAMILIES[family]).items()
        if not name.endswith(('relative_position_index', 'empty_weight', 'pixel_mean', 'pixel_std'))
    }
    torch.save({'model': weights}, folder / 'official.pth')
    return folder / 'official.pth'


def run_card(folder, reference, monkeypatch):
    """Run the code of a model card, offline, in its folder; returns its variables."""
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.chdir(folder)
    Image.fromarray(reference.recipe.image(*IMAGE, seed=3)).save('street.png')
    code = re.search('```python\n(.*?)```', (folder / 'README.md').read_text(), re.S)[1]
    variables = {}
    exec(code.replace('street.jpg', 'street.png'), variables)
    (folder / 'street.png').unlink()
    return variables


def logits_here(model, pixels):
    height, width = pixels.shape[-2:]
    meta = {'batch_input_shape': (height, width), 'view_shapes': [(height, width)]}
    sample = DetDataSample(metainfo={**meta, 'view_boxes': [(0, 0, width, height)]})
    with torch.no_grad():
        cls_logits, mask_logits = model.panoptic_head.predict(model.extract_feat(pixels), [sample])
    return cls_logits, mask_logits.squeeze(2)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['mask2former_swin-t', 'mask2former_swin-l'])
def test_the_same_logits_and_the_same_map(name, reference, tmp_path, monkeypatch):
    require_transformers()
    config, source = small(f'{name}_3x', tmp_path), official_file(reference, name, tmp_path)
    folder = tmp_path / 'model'
    publish_transformers(source, folder, config)
    card = run_card(folder, reference, monkeypatch)
    outputs, pixels = card['outputs'], card['pixels']
    del card['model']
    assert pixels.shape[-2:] == (192, 256)
    assert card['size'] == [239, 170]

    inferencer = EntityInferencer(config, folder, device='cpu', show_progress=False)
    cls_logits, mask_logits = logits_here(inferencer.model, pixels)
    assert (cls_logits - outputs.class_queries_logits).abs().max() < 1e-4
    assert (mask_logits - outputs.masks_queries_logits).abs().max() < 1e-4

    image = reference.recipe.image(*IMAGE, seed=3)
    result = inferencer.predict(np.ascontiguousarray(image[..., ::-1]))
    assert len(np.unique(result.entity_map)) > 20
    assert np.array_equal(result.entity_map, card['ids'].numpy())
    scores = card['scores'].numpy()
    assert np.abs(scores[: len(result.scores)] - result.scores).max() < 1e-5
    assert (scores[len(result.scores) :] == 0).all()


@pytest.fixture(scope='module')
def nano(tmp_path_factory):
    """Weights of a nano model, as a checkpoint of a training with classes of its own."""
    folder = tmp_path_factory.mktemp('nano')
    torch.manual_seed(2)
    weights = build(NANO).state_dict()
    meta = {'dataset_meta': {'classes': ('cell',)}, 'iter': 3}
    torch.save({'state_dict': weights, 'meta': meta}, folder / 'iter_3.pth')
    return folder / 'iter_3.pth', weights


@pytest.fixture(scope='module')
def published(nano):
    publish_transformers(nano[0], nano[0].parent / 'model', NANO)
    return nano[0].parent / 'model'


@pytest.fixture
def folder(published, tmp_path):
    return shutil.copytree(published, tmp_path / 'model')


def assert_equal(state_dict, weights):
    assert state_dict.keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in state_dict.items())


@pytest.mark.parametrize('family', ['mask2former_swin-t', 'mask2former_swin-l-w12_panoptic'])
def test_families_of_the_release_have_an_inverse(family, reference):
    ours = convert_detectron2(cheap_weights(official_shapes(reference, FAMILIES[family])))
    recognised = recognise(map_to_transformers(ours).state_dict)
    assert recognised.source == HUGGING_FACE
    assert_equal(recognised.state_dict, ours)


@pytest.mark.parametrize('as_file', [True, False])
def test_a_folder_loads_and_converts_back(as_file, folder, nano, tmp_path):
    source = folder / 'model.safetensors' if as_file else folder
    model = build(NANO)
    meta = load_weights(model, source)
    assert_equal(model.state_dict(), nano[1])
    assert meta['dataset_meta']['classes'] == ('cell',)
    assert main(['convert', str(source), str(tmp_path / 'back.pth'), '--config', NANO]) == 0
    (back,) = tmp_path.glob('back_*.pth')
    content = torch.load(back, weights_only=True)
    assert_equal(content['state_dict'], nano[1])
    assert content['meta']['dataset_meta']['classes'] == ('cell',)


def test_what_transformers_saves_is_read(folder, nano, tmp_path):
    """Its metadata holds nothing of ours; classes come from its config."""
    model_class = require_transformers()
    model, loading = model_class.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values())
    assert model.config.id2label == {0: 'cell'}
    model.save_pretrained(tmp_path / 'theirs')
    assert_equal(recognise(read_checkpoint(tmp_path / 'theirs')['state_dict']).state_dict, nano[1])
    ours = get_model(NANO, tmp_path / 'theirs', 'cpu')
    assert_equal(ours.state_dict(), nano[1])
    assert ours.dataset_meta['classes'] == ('cell',)


def test_hidden_numbers_of_a_small_model_agree(folder, nano):
    model_class = require_transformers()
    theirs = model_class.from_pretrained(folder).eval()
    ours = get_model(NANO, nano[0], 'cpu')
    pixels = torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    cls_logits, mask_logits = logits_here(ours, pixels)
    with torch.no_grad():
        outputs = theirs(pixel_values=pixels)
    assert (cls_logits - outputs.class_queries_logits).abs().max() < 1e-4
    assert (mask_logits - outputs.masks_queries_logits).abs().max() < 1e-4


@pytest.mark.parametrize('task', ['instance', 'semantic', 'panoptic'])
def test_models_of_classes_have_their_names_and_run(task, reference, tmp_path, monkeypatch):
    require_transformers()
    config = f'demo/mask2former_swin-nano_demo_{task}.py'
    torch.manual_seed(3)
    torch.save({'state_dict': build(config).state_dict()}, tmp_path / 'nano.pth')
    publish_transformers(tmp_path / 'nano.pth', tmp_path / 'model', config)
    card = run_card(tmp_path / 'model', reference, monkeypatch)
    classes = get_model(config, tmp_path / 'nano.pth', 'cpu').dataset_meta['classes']
    assert tuple(card['model'].config.id2label.values()) == tuple(classes)
    result = card['result'] if task == 'semantic' else card['result']['segmentation']
    assert tuple(result.shape) == IMAGE


def test_the_folder_is_written_whole_or_not_at_all(folder, nano, tmp_path, monkeypatch):
    assert {path.name for path in folder.iterdir()} == {
        'README.md',
        'config.json',
        'model.safetensors',
        'preprocessor_config.json',
    }
    with pytest.raises(FileExistsError, match='is there already'):
        publish_transformers(nano[0], folder, NANO)

    def fail(*args):
        raise OSError('no space left')

    monkeypatch.setattr('mmentity.checkpoints.publish_transformers.write_safetensors', fail)
    with pytest.raises(OSError, match='no space left'):
        publish_transformers(nano[0], tmp_path / 'new', NANO)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['model']


def test_the_card_states_the_licence(folder, reference, tmp_path):
    card = (folder / 'README.md').read_text()
    assert 'license: other' in card
    assert 'name it here' in card
    family = FAMILIES['mask2former_swin-t']
    shapes = official_shapes(reference, family)
    torch.save({'model': cheap_weights(shapes)}, tmp_path / 'official.pth')
    publish_transformers(tmp_path / 'official.pth', tmp_path / 'official')
    card = (tmp_path / 'official' / 'README.md').read_text()
    assert 'license: cc-by-nc-4.0' in card
    assert 'CC BY-NC 4.0, non-commercial use only' in card


def test_the_code_of_the_card_resizes_as_the_pipeline_does(folder):
    code = re.search('```python\n(.*?)```', (folder / 'README.md').read_text(), re.S)[1]
    prepare = code[code.index('def prepare') : code.index('def entity_map')]

    class Processor:
        size = {'shortest_edge': 800, 'longest_edge': 1333}

        def __call__(self, image, **options):
            return {'pixel_values': torch.zeros(1, 3, *image.size[::-1])}

    class Pretend:
        def __init__(self, size):
            self.size = size

        def convert(self, mode):
            return self

        def resize(self, size, resample):
            return Pretend(tuple(size))

    variables = {'F': F, 'Image': Image}
    exec(prepare, variables)
    rng = np.random.default_rng(0)
    for width, height in rng.integers(50, 6000, (200, 2)).tolist():
        pixels, size = variables['prepare'](Pretend((width, height)), Processor())
        assert tuple(size[::-1]) == shortest_edge_size(height, width, 800, 1333)
        assert [-side % 32 for side in pixels.shape[-2:]] == [0, 0]
        assert all(0 <= a - b < 32 for a, b in zip(pixels.shape[-2:], size[::-1]))


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ('demo/cropformer_swin-nano_demo.py', 'transformers has no CropFormer: its Mask2Former'),
        ('mask2former_hornet-l_3x.py', 'transformers has no HorNet: a Mask2Former with a Swin'),
        ('mask2former_r50_3x.py', 'these weights have another backbone: a Mask2Former'),
    ],
)
def test_models_that_transformers_does_not_have(config, message, tmp_path, capsys):
    shapes = expected_shapes(config)
    weights = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    torch.save({'state_dict': weights, 'meta': {}}, tmp_path / 'weights.pth')
    assert main(['to-transformers', str(tmp_path / 'weights.pth'), str(tmp_path / 'out')]) == 2
    error = capsys.readouterr().err
    assert 'weights.pth: ' in error
    assert message in error
    assert not (tmp_path / 'out').exists()


def edit(folder, **changes):
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, **changes}))


WRONG = {
    'another model': (
        lambda folder: edit(folder, model_type='maskformer'),
        "has model_type 'maskformer', models of mmentity that transformers has too have 'mask2f",
    ),
    'another backbone': (
        lambda folder: edit(folder, backbone_config={'model_type': 'resnet'}),
        "has backbone_config.model_type 'resnet'",
    ),
    'no json': (
        lambda folder: (folder / 'config.json').write_text('{'),
        'config.json is no json',
    ),
    'several files': (
        lambda folder: (folder / 'model.safetensors').rename(
            folder / 'model.safetensors.index.json'
        ),
        'has its weights in several files',
    ),
}


@pytest.mark.parametrize('kind', WRONG)
def test_a_folder_that_is_no_model_of_ours_is_one_error(kind, folder):
    change, message = WRONG[kind]
    change(folder)
    with pytest.raises(WeightsError, match=re.escape(message)):
        load_weights(build(NANO), folder)


def test_a_folder_without_weights_is_one_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='is a folder without model.safetensors'):
        load_weights(build(NANO), tmp_path)


def test_weights_that_miss_one_are_one_error(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / 'model.safetensors')
    name = 'model.transformer_module.decoder.layers.1.self_attn.k_proj.weight'
    del weights[name]
    save_file(weights, folder / 'model.safetensors')
    with pytest.raises(WeightsError, match=f'1 names are missing, the first is {name!r}'):
        load_weights(build(NANO), folder)


def test_a_decoder_with_heads_of_its_own_is_refused(nano, tmp_path):
    config = get_config(NANO)
    config.model.panoptic_head.transformer_decoder.layer_cfg.cross_attn_cfg.num_heads = 2
    config.dump(tmp_path / 'mine.py')
    with pytest.raises(WeightsError, match='4 heads of attention, cross_attn_cfg of the decoder 2'):
        publish_transformers(nano[0], tmp_path / 'out', tmp_path / 'mine.py')


def test_a_backbone_alone_is_refused(nano, tmp_path):
    backbone = {name: value for name, value in nano[1].items() if name.startswith('backbone.')}
    torch.save({'state_dict': backbone}, tmp_path / 'backbone.pth')
    with pytest.raises(WeightsError, match='is of a backbone of ImageNet'):
        publish_transformers(tmp_path / 'backbone.pth', tmp_path / 'out')


def test_no_halves_in_the_folder(nano, tmp_path):
    halved = {
        name: value.half() if value.is_floating_point() else value
        for name, value in nano[1].items()
    }
    torch.save({'state_dict': halved, 'meta': {}}, tmp_path / 'half.pth')
    publish_transformers(tmp_path / 'half.pth', tmp_path / 'out', NANO)
    content = read_checkpoint(tmp_path / 'out')
    assert {value.dtype for value in content['state_dict'].values()} == {torch.float32}
    assert content['meta']['mmentity_version']
