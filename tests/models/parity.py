"""Models of the reference fixtures, built from the shipped configs."""

import io
import re
import runpy
from contextlib import redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from mmentity.converters import load_weights
from tests.conftest import ROOT

TINY_HEADS = [2, 4, 4, 8]


def build(config, options=None):
    """Build the model of a config under ``configs``."""
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(ROOT / 'configs' / config)
    config.merge_from_dict(options or {})
    return MODELS.build(config.model)


def build_with_weights(reference, info, config, options=None):
    """Build a model with the official weights of a fixture.

    They come from a file that the command line converted, and are the same as
    those of the official file loaded directly.
    """
    official = reference.weights(info)
    settings = Config.fromfile(ROOT / 'configs' / config)
    settings.merge_from_dict(options or {})
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        settings.dump(folder / 'config.py')
        torch.save({'model': official}, folder / 'official.pth')
        del official
        run_tool('detectron2_to_mmentity', folder / 'official.pth', folder / 'converted.pth',
                 '--config', folder / 'config.py')  # fmt: skip
        model = build(config, options)
        load_weights(model, folder / 'official.pth')
        direct = {name: value.clone() for name, value in model.state_dict().items()}
        for value in model.parameters():
            value.data.zero_()
        load_weights(model, next(folder.glob('converted_*.pth')))
    assert all(torch.equal(value, direct[name]) for name, value in model.state_dict().items())
    model.eval()
    return model


def with_same_weights(plain, ours, device='cpu'):
    """Give a module of another package and ours the same random weights, in eval mode."""
    torch.manual_seed(0)
    for parameter in plain.parameters():
        nn.init.normal_(parameter, std=0.3)
    assert list(ours.state_dict()) == list(plain.state_dict())
    ours.load_state_dict(plain.state_dict())
    return plain.eval().to(device), ours.eval().to(device)


def run_tool(name, *arguments):
    """Run a tool of the converters in this process; SystemExit holds the message of an error."""
    script, stderr = ROOT / 'tools' / 'model_converters' / f'{name}.py', io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stderr(stderr):
        monkeypatch.setattr('sys.argv', [str(script), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name='__main__')
    if ended.value.code:
        assert ended.value.code == 2
        raise SystemExit(re.search('^mmentity convert: .*', stderr.getvalue(), re.M | re.S)[0])


def tiny_options(drop_path_rate=0.3):
    """Turn the Swin-T CropFormer into the small one of the fixtures."""
    head = 'model.panoptic_head.'
    layer = head + 'transformer_decoder.layer_cfg.'
    encoder = head + 'pixel_decoder.encoder.layer_cfg.'
    return {
        'model.backbone.arch': {
            '_delete_': True,
            'embed_dims': 24,
            'depths': [2, 2, 2, 2],
            'num_heads': TINY_HEADS,
        },
        'model.backbone.drop_path_rate': drop_path_rate,
        head + 'in_channels': [24, 48, 96, 192],
        head + 'feat_channels': 64,
        head + 'out_channels': 64,
        head + 'num_queries': 20,
        head + 'positional_encoding.num_feats': 32,
        head + 'pixel_decoder.positional_encoding.num_feats': 32,
        head + 'pixel_decoder.encoder.num_layers': 2,
        encoder + 'self_attn_cfg.embed_dims': 64,
        encoder + 'self_attn_cfg.num_heads': 4,
        encoder + 'ffn_cfg.embed_dims': 64,
        head + 'transformer_decoder.num_layers': 3,
        layer + 'self_attn_cfg.embed_dims': 64,
        layer + 'self_attn_cfg.num_heads': 4,
        layer + 'cross_attn_cfg.embed_dims': 64,
        layer + 'cross_attn_cfg.num_heads': 4,
        layer + 'ffn_cfg.embed_dims': 64,
        layer + 'ffn_cfg.feedforward_channels': 128,
        head + 'association.embed_dims': 64,
        head + 'association.num_heads': 4,
        head + 'association.feedforward_channels': 128,
        'model.train_cfg.num_points': 1024,
    }
