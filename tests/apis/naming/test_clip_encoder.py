"""open_clip with random weights: what goes in, what comes out, what is refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mmentity.apis.naming import EntityNamer
from mmentity.apis.naming.clip_encoder import ClipEncoder
from mmentity.apis.naming.clip_package import check_open_clip
from tests.apis.conftest import MODEL, make_result, save_scenes, scene, stripes

WHY = 'open_clip is an extra'


@pytest.fixture(scope='module')
def small_clip():
    """A random CLIP of 32 px, small enough to test with."""
    open_clip = pytest.importorskip('open_clip', reason=WHY)
    torch.manual_seed(0)
    vision = open_clip.CLIPVisionCfg(layers=1, width=64, head_width=32, patch_size=8, image_size=32)
    text = open_clip.CLIPTextCfg(layers=1, width=64, heads=2)
    model = open_clip.CLIP(16, vision, text).eval()
    open_clip.set_model_preprocess_cfg(model, {'size': 32, 'mean': (0.4,) * 3, 'std': (0.2,) * 3})
    return model


def test_it_gives_what_open_clip_gives(small_clip):
    import open_clip

    encoder = ClipEncoder(small_clip, None, 'cpu')
    assert encoder.size == 32
    assert encoder.logit_scale == pytest.approx(small_clip.logit_scale.exp().item())
    crops = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    texts = ['a photo of a car.', 'a photo of a tree.']
    with torch.no_grad():
        images = torch.stack([torch.from_numpy(c).permute(2, 0, 1) / 255 for c in crops])
        expected = small_clip.encode_image((images - 0.4) / 0.2)
        in_texts = small_clip.encode_text(open_clip.get_tokenizer('ViT-B-32')(texts))
    assert np.allclose(encoder.encode_images(crops), expected.numpy(), atol=1e-5)
    assert np.allclose(encoder.encode_texts(texts), in_texts.numpy(), atol=1e-5)


def test_names_are_those_of_its_own_zero_shot_classifier(small_clip):
    import open_clip

    names = ('car', 'tree', 'road')
    templates = ['a photo of a {}.', 'a {}']
    namer = EntityNamer(names, ClipEncoder(small_clip, None, 'cpu'), templates, 'keep', 0.0)
    image = scene(3, 32, 96)
    result = make_result(stripes([32, 32, 32], 32), [0.9, 0.8, 0.7], image=image)
    naming = namer(result).naming
    classifier = open_clip.build_zero_shot_classifier(
        small_clip,
        open_clip.get_tokenizer('ViT-B-32'),
        names,
        [template.format for template in templates],
    )
    with torch.no_grad():
        views = torch.from_numpy(image.reshape(32, 3, 32, 3)).permute(1, 3, 0, 2) / 255
        features = F.normalize(small_clip.encode_image((views - 0.4) / 0.2), dim=-1)
        shares = (small_clip.logit_scale.exp() * features @ classifier).softmax(dim=-1)
    scores, best = shares.max(dim=-1)
    assert naming.names.tolist() == [names[k] for k in best]
    assert np.allclose(naming.scores, scores.numpy(), atol=1e-5)


def test_predict_names_with_weights_of_a_file(predict_tool, weights, small_clip, tmp_path, capsys):
    import open_clip

    (photo,) = save_scenes(tmp_path, 1).iterdir()
    (tmp_path / 'names.txt').write_text('car\ntree\n')
    config = tmp_path / 'configs' / 'tiny-test-clip.json'
    config.parent.mkdir()
    config.write_text(
        '{"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, '
        '"head_width": 32, "patch_size": 8}, "text_cfg": {"layers": 1, "width": 64, "heads": 2}}'
    )
    open_clip.add_model_config(config)
    torch.save(small_clip.state_dict(), tmp_path / 'clip.pt')
    common = [
        photo, '--model', MODEL, '--weights', weights, '--device', 'cpu', '--score-thr', 0.1,
        '--labels', tmp_path / 'names.txt', '--clip-model', 'tiny-test-clip',
    ]  # fmt: skip
    assert predict_tool(*common, '--clip-weights', tmp_path / 'clip.pt') == 0
    table = capsys.readouterr().out
    assert 'of names' in table
    assert 'car' in table or 'tree' in table
    message = predict_tool(*common, '--clip-weights', weights)
    assert 'of CLIP tiny-test-clip cannot be loaded' in message
    assert '--clip-weights' in message


def test_a_model_that_open_clip_does_not_have():
    pytest.importorskip('open_clip', reason=WHY)
    with pytest.raises(ValueError, match="open_clip has no model 'ViT-Z'; python -c"):
        ClipEncoder('ViT-Z', 'clip.pt', 'cpu')
    with pytest.raises(ValueError, match='ViT-B-32 has no weights; give a file, or a tag'):
        ClipEncoder('ViT-B-32', None, 'cpu')


def test_a_missing_open_clip_is_said(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "mmentity\[clip\]"'):
        check_open_clip()
