"""Weights of any source into a model."""

import pickle

import numpy as np
import pytest
import torch

from mmentity.converters import convert_detectron2, load_weights
from tests.models.parity import build, tiny_options

TINY = '_base_/models/cropformer_swin-t.py'


@pytest.fixture(scope='module')
def official(reference):
    info, _ = reference.load('cropformer_swin_tinycfg')
    return reference.weights(info)


@pytest.fixture(scope='module')
def model():
    return build(TINY, tiny_options())


def save_pickle(content, path):
    with path.open('wb') as file:
        pickle.dump(content, file)


FILES = {
    'wrapped.pth': lambda weights, path: torch.save({'model': weights, 'iteration': 7}, path),
    'bare.pth': torch.save,
    'old_format.pth': lambda weights, path: torch.save(
        {'model': weights}, path, _use_new_zipfile_serialization=False
    ),
    'arrays.pkl': lambda weights, path: save_pickle(
        {'model': {name: value.numpy() for name, value in weights.items()}, '__author__': 'x'}, path
    ),
    'tensors.pkl': lambda weights, path: save_pickle({'model': weights}, path),
    'distributed.pth': lambda weights, path: torch.save(
        {f'module.{name}': value for name, value in weights.items()}, path
    ),
    'converted.pth': lambda weights, path: torch.save(
        {'state_dict': convert_detectron2(weights), 'meta': {'epoch': 3}}, path
    ),
}


@pytest.mark.parametrize('name', FILES)
def test_every_kind_of_file_loads(name, official, model, tmp_path):
    FILES[name](official, tmp_path / name)
    for parameter in model.parameters():
        parameter.data.zero_()
    meta = load_weights(model, tmp_path / name)
    expected = convert_detectron2(official)
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    if name == 'converted.pth':
        assert meta == {'epoch': 3}
    else:
        assert meta['source'] == name
        assert 'CC BY-NC 4.0' in meta['licence']


def test_weights_that_do_not_fit_are_named(official, model, tmp_path):
    path = tmp_path / 'classes.pth'
    more = {**official}
    for leaf in ('weight', 'bias'):
        name = f'sem_seg_head.predictor.class_embed.{leaf}'
        more[name] = torch.cat([official[name], official[name]])
    torch.save(more, path)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=r'classes.pth do not fit the model: panoptic_head.cls_embed.weight is \(4, 64\) in '
        r'the weights, \(2, 64\) in the model; .*they fit no shipped config',
    ):
        load_weights(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_name_the_config_that_they_fit(reference, model, tmp_path):
    info, _ = reference.load('mask2former_swin_t')
    path = tmp_path / 'swin_t.pth'
    torch.save({e['name']: torch.zeros(e['shape']) for e in info['state_dict']}, path)
    with pytest.raises(ValueError, match='they fit mask2former_swin-t_3x.py'):
        load_weights(model, path)


class Shell:
    def __reduce__(self):
        import os

        return os.system, ('touch executed',)


def truncated(path):
    torch.save({'a': torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])


BAD = {
    'lost.pth': (lambda path: None, FileNotFoundError, 'does not exist'),
    'short.pth': (truncated, ValueError, 'cut short'),
    'short.pkl': (
        lambda path: path.write_bytes(pickle.dumps({'model': np.ones(99)})[:60]),
        ValueError,
        'cut short',
    ),
    'page.pth': (lambda path: path.write_text('<!doctype html>'), ValueError, 'is no checkpoint'),
    'empty.pth': (lambda path: path.write_bytes(b''), ValueError, 'is no checkpoint'),
    'shell.pth': (
        lambda path: torch.save({'model': Shell()}, path),
        ValueError,
        'wants to call posix.system',
    ),
    'shell.pkl': (
        lambda path: save_pickle({'model': Shell()}, path),
        ValueError,
        'wants to call posix.system',
    ),
    'resnet.pth': (
        lambda path: torch.save({'conv1.weight': torch.zeros(1)}, path),
        ValueError,
        "'conv1.weight' the first, .* belong to another project",
    ),
    'list.pth': (lambda path: torch.save([1], path), ValueError, 'holds a list'),
    'nothing.pth': (lambda path: torch.save({}, path), ValueError, 'holds no weights'),
    'numbers.pth': (
        lambda path: torch.save({'model': {'a': 1}}, path),
        ValueError,
        "int under 'a'",
    ),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_file_ends_with_a_message(name, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, error, message = BAD[name]
    write(tmp_path / name)
    with pytest.raises(error, match=message) as caught:
        load_weights(model, tmp_path / name)
    assert name in str(caught.value)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'executed').exists()
