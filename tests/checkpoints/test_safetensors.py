"""Files of safetensors, in and out; that mmengine loads them is in ``test_mmengine``."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmentity.apis import EntityInferencer
from mmentity.checkpoints.publish import publish_detectron2, publish_mmentity
from mmentity.checkpoints.read import read_checkpoint
from mmentity.checkpoints.safetensors_files import write_safetensors
from mmentity.converters import WeightsError, load_weights, mmentity_to_detectron2
from mmentity.utils.files import sha256_of
from tests.models.parity import build, run_tool

NANO = 'demo/mask2former_swin-nano_demo.py'
META = {'dataset_meta': {'classes': ('cell',), 'palette': ((1, 2, 3),)}, 'licence': 'mine'}


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(1)
    return build(NANO).state_dict()


@pytest.fixture
def path(weights, tmp_path):
    path = tmp_path / 'nano.safetensors'
    write_safetensors(path, weights, META)
    return path


def assert_equal(state_dict, weights):
    assert state_dict.keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in state_dict.items())


@pytest.mark.parametrize('mmap', [True, False])
def test_weights_and_meta_come_back(mmap, path, weights):
    content = read_checkpoint(path, mmap)
    assert content['meta'] == META
    assert_equal(content['state_dict'], weights)


def test_it_is_a_file_that_every_reader_of_safetensors_reads(path, weights):
    assert_equal(load_file(path), weights)
    with safe_open(path, 'pt') as file:
        assert json.loads(file.metadata()['meta'])['licence'] == 'mine'
    path.with_name('other').touch()
    assert path.stat().st_mode == path.with_name('other').stat().st_mode


def test_the_same_content_gives_the_same_bytes(path, weights):
    for k in range(5):
        other = path.with_name(f'{k}.safetensors')
        write_safetensors(other, weights, {**META, 'name': 'Größe "x"\n'})
        assert other.read_bytes() == path.with_name('0.safetensors').read_bytes()
    assert read_checkpoint(other)['meta']['name'] == 'Größe "x"\n'


def test_it_loads_whatever_it_is_called(path, weights):
    model = build(NANO)
    meta = load_weights(model, path.rename(path.with_suffix('.bin')))
    assert meta == META
    assert_equal(model.state_dict(), weights)


def test_the_inferencer_takes_it(path, weights):
    inferencer = EntityInferencer(NANO, path, device='cpu')
    assert_equal(inferencer.model.state_dict(), weights)
    assert inferencer.model.dataset_meta['classes'] == ('cell',)


def test_a_file_without_meta_is_described_by_its_weights(weights, tmp_path):
    save_file(mmentity_to_detectron2(weights), tmp_path / 'theirs.safetensors')
    meta = load_weights(build(NANO), tmp_path / 'theirs.safetensors')
    assert meta['source'] == 'theirs.safetensors'
    assert 'CC BY-NC' in meta['licence']
    assert meta['dataset_meta']['classes'] == ('entity',)


def test_converted_there_and_back(weights, tmp_path):
    """The state of a training stays behind, the classes do not."""
    training = {'state_dict': weights, 'meta': {**META, 'iter': 7}, 'optimizer': {}}
    torch.save(training, tmp_path / 'iter_7.pth')
    run_tool('detectron2_to_mmentity', tmp_path / 'iter_7.pth', tmp_path / 'out.safetensors')
    (path,) = tmp_path.glob('out_*.safetensors')
    content = read_checkpoint(path)
    assert_equal(content['state_dict'], weights)
    assert content['meta']['config'].endswith('.py')
    assert content['meta']['source'] == 'iter_7.pth'
    back = publish_mmentity(path, tmp_path / 'back').path
    assert back.suffix == '.pth'
    loaded = torch.load(back, weights_only=True)
    assert_equal(loaded['state_dict'], weights)
    assert loaded['meta']['dataset_meta'] == META['dataset_meta']
    assert loaded['meta']['licence'] == 'mine'
    assert 'iter' not in loaded['meta']
    with pytest.raises(WeightsError, match='are those of OpenMMLab already'):
        publish_mmentity(back, tmp_path / 'again.pth')
    with pytest.raises(WeightsError, match='the official code reads no safetensors'):
        publish_detectron2(back, tmp_path / 'again.safetensors')


def test_official_weights_become_safetensors(weights, tmp_path):
    torch.save({'model': mmentity_to_detectron2(weights)}, tmp_path / 'official.pth')
    path = publish_mmentity(tmp_path / 'official.pth', tmp_path / 'ours.safetensors').path
    assert path.name == f'ours_{sha256_of(path)[:8]}.safetensors'
    content = read_checkpoint(path)
    assert_equal(content['state_dict'], weights)
    assert 'CC BY-NC' in content['meta']['licence']


def header(text):
    return len(text).to_bytes(8, 'little') + text


DAMAGED = {
    'half': lambda content: content[: len(content) // 2],
    'a header': lambda content: content[:200],
    'the length alone': lambda content: content[:9],
    'no json': lambda content: header(b'{not json}') + content,
    'too long a header': lambda content: b'\xff' * 8 + content[8:],
    'meta that is no json': lambda content: header(b'{"__metadata__":{"meta":"{"}}'),
}


@pytest.mark.parametrize('kind', DAMAGED)
def test_a_damaged_file_is_one_error(kind, path):
    path.write_bytes(DAMAGED[kind](path.read_bytes()))
    with pytest.raises(WeightsError, match=r'nano.safetensors is cut short, damaged or no'):
        load_weights(build(NANO), path)


def test_other_content_under_this_name_is_one_error(path):
    path.write_text('<!DOCTYPE html> a login page')
    with pytest.raises(WeightsError, match=r'nor a .safetensors; an interrupted download'):
        load_weights(build(NANO), path)


def test_weights_of_another_model_are_refused(weights, tmp_path):
    path = tmp_path / 'resnet.safetensors'
    save_file({'conv1.weight': torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=r'resnet.safetensors: .* belong to another project'):
        load_weights(build(NANO), path)
