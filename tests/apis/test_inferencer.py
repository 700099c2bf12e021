"""The inferencer: all kinds of input, laziness, batches, errors."""

import threading

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmentity.apis import EntityInferencer
from mmentity.apis.inputs import list_inputs
from mmentity.converters import load_weights
from mmentity.datasets.errors import SampleError
from mmentity.datasets.geometry import resize_image
from mmentity.utils.shipped_configs import find_config
from tests.apis.conftest import MODEL, save_scenes, scene
from tests.apis.test_inputs import write_video
from tests.models.parity import build, tiny_options


def same(one, other):
    return np.array_equal(one.entity_map, other.entity_map) and np.allclose(
        one.scores, other.scores, atol=1e-5
    )


def test_a_result_describes_its_map(inferencer):
    result = inferencer.predict(scene(0)[..., ::-1])
    assert result.entity_map.dtype == np.int32
    assert result.entity_map.shape == (48, 64)
    assert len(result) >= 3
    assert (np.diff(result.scores) <= 0).all()
    assert np.array_equal(result.areas, result.entities.areas)
    assert np.array_equal(result.boxes_xyxy_px, result.entities.boxes_xyxy_px)
    assert np.array_equal(result.image, scene(0))


def test_max_side_shrinks_what_the_network_sees_and_resizes_the_map_back(inferencer, monkeypatch):
    image = scene(0, 96, 160)[..., ::-1]
    seen = []
    pipeline = inferencer.backend.pipeline
    monkeypatch.setattr(
        inferencer.backend,
        'pipeline',
        lambda results: pipeline(seen.append(results['img']) or results),
    )
    result = inferencer.predict(image, max_side=100)
    (shrunk,) = seen
    assert np.array_equal(shrunk, resize_image(image, 60, 100))
    small = inferencer.predict(shrunk)
    assert result.entity_map.shape == (96, 160)
    assert same(result, small.resize(96, 160))
    assert np.array_equal(result.areas, result.entities.areas)
    assert np.array_equal(result.boxes_xyxy_px, result.entities.boxes_xyxy_px)
    # the image is kept as it was
    assert np.array_equal(result.image, scene(0, 96, 160))
    # images that are not longer are left alone
    assert same(inferencer.predict(image, max_side=160), inferencer.predict(image))
    for results in (inferencer([image], max_side=100), inferencer.stream([image], max_side=100)):
        assert same(next(iter(results)), result)
    with pytest.raises(ValueError, match='max_side is 0; it is a length in px, at least 1'):
        inferencer([image], max_side=0)


def test_all_kinds_of_input_give_the_same(inferencer, tmp_path):
    folder = save_scenes(tmp_path, 3)
    expected = [inferencer.predict(scene(k)[..., ::-1]) for k in range(3)]
    files = [str(folder / f'{k}.png') for k in range(3)]
    for inputs in (
        folder,
        str(folder),
        f'{folder}/*.png',
        files,
        [Image.open(file) for file in files],
        [scene(k)[..., ::-1] for k in range(3)],
    ):
        results = inferencer(inputs)
        assert len(results) == 3
        assert all(map(same, results, expected))
    assert same(next(inferencer.stream(files[1])), expected[1])
    assert len(inferencer(write_video(tmp_path / 'walk.avi', 4))) == 4


def test_a_call_returns_one_result_for_each_input_in_order(inferencer, tmp_path):
    folder = save_scenes(tmp_path, 3)
    path, array = str(folder / '1.png'), scene(2)[..., ::-1]
    expected = [inferencer.predict(image) for image in (array, path, path, array)]
    for inputs in (
        [array, path, path, array],
        (image for image in (array, path, path, array)),
        map(lambda k: array if k % 3 == 0 else path, range(4)),
    ):
        results = inferencer(inputs)
        assert [r.name for r in results] == ['000000', '1', '1', '000001']
        assert all(map(same, results, expected))
    assert inferencer([]) == []


def test_a_stream_takes_from_its_inputs_as_results_are_taken(inferencer):
    asked = []

    def camera():
        while True:
            asked.append(len(asked))
            yield scene(0)[..., ::-1]

    stream = inferencer.stream(camera(), batch_size=2, workers=1)
    assert asked == []
    assert [next(stream).name for _ in range(3)] == ['000000', '000001', '000002']
    assert len(asked) <= 3 + 2 + 2 + 1
    stream.close()


def test_batches_change_nothing(inferencer, tmp_path):
    """Images of other sizes in between must not change the padding of an image."""
    folder = save_scenes(tmp_path, 5)
    Image.fromarray(scene(9, 64, 32)).save(folder / '2.png')
    alone = inferencer(folder)
    together = inferencer(folder, batch_size=4, workers=0)
    assert [r.name for r in together] == [r.name for r in alone] == ['0', '1', '2', '3', '4']
    assert all(map(same, together, alone))


def test_images_are_read_when_they_are_asked_for(inferencer, tmp_path):
    folder = save_scenes(tmp_path, 30)
    read, loader, lock = [], inferencer.backend.loader, threading.Lock()

    def counting(results):
        with lock:
            read.append(results['img_path'])
        return loader(results)

    inferencer.backend.loader = counting
    try:
        results = inferencer.stream(folder)
        assert read == []
        next(results)
        assert len(read) <= 6
        results.close()
    finally:
        inferencer.backend.loader = loader
    assert len(read) <= 6


def test_bad_images_raise_or_are_skipped(inferencer, tmp_path):
    folder = save_scenes(tmp_path, 3)
    (folder / '1.png').write_text('no image')
    results = inferencer.stream(folder)
    assert next(results).name == '0'
    with pytest.raises(SampleError, match='1.png is not a complete image'):
        next(results)
    assert [r.name for r in inferencer(folder, on_error='skip')] == ['0', '2']
    ((image, reason),) = inferencer.failures
    inputs = [folder / '0.png', folder / 'none.png', folder / '2.png']
    assert [r.name for r in inferencer(inputs, on_error='skip')] == ['0', '2']
    assert inferencer.failures[0][1].endswith('none.png does not exist')
    assert image.path.endswith('1.png')
    assert 'not a complete image' in reason


def test_an_image_too_large_for_the_memory_does_not_take_its_batch_along(inferencer, monkeypatch):
    forward = inferencer.backend.forward

    def little_memory(batch):
        if len(batch['inputs']) > 1 or batch['data_samples'][0].img_id == '000001':
            raise torch.cuda.OutOfMemoryError('out of memory')
        return forward(batch)

    monkeypatch.setattr(inferencer.backend, 'forward', little_memory)
    images = [scene(k)[..., ::-1] for k in range(3)]
    assert [r.name for r in inferencer(images, batch_size=3, on_error='skip')] == [
        '000000',
        '000002',
    ]
    assert '000001 does not fit into the memory' in inferencer.failures[0][1]


def test_any_error_of_the_network_stays_with_its_image(inferencer, monkeypatch):
    forward = inferencer.backend.forward

    def failing(batch):
        if any(sample.img_id == '000001' for sample in batch['data_samples']):
            raise IndexError('an index')
        return forward(batch)

    monkeypatch.setattr(inferencer.backend, 'forward', failing)
    images = [scene(k)[..., ::-1] for k in range(3)]
    results = inferencer(images, batch_size=3, on_error='skip')
    assert [r.name for r in results] == ['000000', '000002']
    assert inferencer.failures[0][1] == '000001 cannot be predicted: an index'


def test_models_are_named_given_as_path_as_config_or_built(inferencer, weights):
    path = find_config(f'{MODEL}.py')
    assert find_config(MODEL) == find_config(path) == path
    result = inferencer.predict(scene(0))
    for model in (path, Config.fromfile(str(path)), inferencer.model):
        other = EntityInferencer(model, weights, 'cpu', show_progress=False)
        assert same(other.predict(scene(0)), result)


def test_precision_is_that_of_the_network(weights, inferencer, monkeypatch):
    with pytest.raises(ValueError, match="is 'half'; it must be one of fp32, bf16, fp16"):
        EntityInferencer(MODEL, weights, 'cpu', precision='half')
    assert inferencer.precision == 'fp32'
    monkeypatch.setattr('mmentity.models.precision.lack_of', lambda *_: None)
    half = EntityInferencer(MODEL, weights, 'cpu', show_progress=False, precision='bf16')
    assert half.precision == 'bf16'
    seen = []
    decode = half.model.panoptic_head.pixel_decoder
    decode.register_forward_hook(lambda *called: seen.append(called[2].mask_features.dtype))
    result, expected = half.predict(scene(0)), inferencer.predict(scene(0))
    assert seen == [torch.bfloat16]
    assert (result.entity_map > 0).mean() == pytest.approx(
        (expected.entity_map > 0).mean(), abs=0.1
    )
    assert result.scores.dtype == np.float32
    # a config says it too, and an argument wins
    config = Config.fromfile(str(find_config(f'{MODEL}.py')))
    config.model.test_cfg.precision = 'fp16'
    assert EntityInferencer(config, weights, 'cpu').precision == 'fp16'
    assert EntityInferencer(config, weights, 'cpu', precision='bf16').precision == 'bf16'
    assert config.model.test_cfg.precision == 'fp16'


def test_official_weights_are_read(reference, tmp_path):
    """A checkpoint as the release has it goes into the model of a config."""
    info, _ = reference.load('cropformer_swin_tinycfg')
    torch.save({'model': reference.weights(info), 'iteration': 1}, tmp_path / 'official.pth')
    model = build('cropformer_swin-t_3x.py', tiny_options())
    load_weights(model, tmp_path / 'official.pth')


def test_mistakes_get_one_line(weights, tmp_path):
    (tmp_path / 'text.pth').write_text('no checkpoint')
    torch.save({'state_dict': {'a': torch.zeros(1)}}, tmp_path / 'other.pth')
    for arguments, message in (
        (
            ('cropformer_hornet', None, 'cpu'),
            "'cropformer_hornet'.*similar: cropformer_hornet-l_3x",
        ),
        ((MODEL, 'none.pth', 'cpu'), 'none.pth does not exist'),
        ((MODEL, tmp_path / 'text.pth', 'cpu'), 'text.pth is no checkpoint'),
        ((MODEL, tmp_path / 'other.pth', 'cpu'), 'other.pth.*belong to another project'),
        (('cropformer_swin-nano_demo', weights, 'cpu'), 'do not fit the model'),
        ((MODEL, weights, 'cuda:9'), "device 'cuda:9' cannot be used here.*usable: cpu"),
        ((MODEL, weights, 'gpu'), "device 'gpu' cannot be used here.*usable: cpu"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
            EntityInferencer(*arguments, show_progress=False)
        assert '\n' not in str(caught.value)


def test_wrong_arguments_are_named(inferencer, tmp_path):
    with pytest.raises(ValueError, match="on_error is 'ignore'"):
        inferencer(scene(0), on_error='ignore')
    with pytest.raises(ValueError, match='batch_size is 0'):
        inferencer(scene(0), batch_size=0)
    with pytest.raises(FileNotFoundError, match='none.png does not exist'):
        inferencer.predict(tmp_path / 'none.png')
    (image,) = list_inputs(scene(0).astype(np.float32))
    with pytest.raises(SampleError, match='float32'):
        inferencer.predict(image.content)
    save_scenes(tmp_path, 2)
    with pytest.raises(ValueError, match='is more than one image'):
        inferencer.predict(tmp_path)
