"""Which project weights come from, and which shipped config they fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Union

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmentity.checkpoints.backbones import is_backbone, translate_backbone
from mmentity.checkpoints.detectron2 import translate_detectron2
from mmentity.checkpoints.key_map import Translation
from mmentity.checkpoints.read import WeightsError
from mmentity.utils.shipped_configs import CONFIGS, find_config, shipped_configs

# Names and shapes of models by their settings, which many configs share.
_SHAPES = {}

OFFICIAL = 'the official release'
BACKBONE = 'a backbone of ImageNet'
OURS = 'mmentity'


class Recognised(NamedTuple):
    """Weights in mmentity's names.

    Attributes:
        source: ``OFFICIAL``, ``BACKBONE`` or ``OURS``.
        translation: The weights, and what became of every name.
    """

    source: str
    translation: Translation

    @property
    def state_dict(self) -> dict:
        """mmentity's names to tensors."""
        return self.translation.state_dict


def recognise(state_dict: Mapping[str, Tensor]) -> Recognised:
    """Tell by the names which project wrote weights, and convert them.

    Args:
        state_dict: Names to tensors.

    Raises:
        WeightsError: If the names are of none of the projects, or not complete.
    """
    if any(name.startswith('sem_seg_head.') for name in state_dict):
        return Recognised(OFFICIAL, translate_detectron2(state_dict))
    if any(name.startswith('panoptic_head.') for name in state_dict):
        mapped = {name: name for name in state_dict}
        return Recognised(OURS, Translation(dict(state_dict), mapped, {}))
    if is_backbone(state_dict):
        return Recognised(BACKBONE, translate_backbone(state_dict))
    raise WeightsError(
        f'the {len(state_dict)} names, {next(iter(state_dict))!r} the first, are neither of '
        'CropFormer, Mask2Former, Swin nor HorNet; these weights belong to another project'
    )


@dataclass(frozen=True)
class Differences:
    """How weights differ from what a model expects.

    Attributes:
        missing: Names that the model has and the weights have not.
        unexpected: Names that the weights have and the model has not.
        shapes: Names of other shape, to the shape of the weights and the
            expected one.
    """

    missing: list
    unexpected: list
    shapes: dict

    def __len__(self) -> int:
        return len(self.names)

    @property
    def names(self) -> list:
        """Every name that does not fit."""
        return [*self.missing, *self.unexpected, *self.shapes]

    def sentences(self) -> list:
        """Say each difference in a line."""
        return [
            *(
                f'{name} is {found} in the weights, {expected} in the model'
                for name, (found, expected) in self.shapes.items()
            ),
            *(f'{name} is missing in the weights' for name in self.missing),
            *(f'{name} is not in the model' for name in self.unexpected),
        ]

    def summary(self, first: int = 2) -> str:
        """Say the first differences and how many more there are."""
        lines = self.sentences()
        more = f', and {len(lines) - first} more' if len(lines) > first else ''
        return '; '.join(lines[:first]) + more


def compare(state_dict: Mapping[str, Tensor], expected: Mapping[str, tuple]) -> Differences:
    """Compare weights with what a model expects.

    Args:
        state_dict: Names to tensors.
        expected: Names to shapes, as of :func:`shapes_of`.
    """
    return Differences(
        [name for name in expected if name not in state_dict],
        [name for name in state_dict if name not in expected],
        {
            name: (tuple(value.shape), expected[name])
            for name, value in state_dict.items()
            if name in expected and tuple(value.shape) != expected[name]
        },
    )


def shapes_of(model: nn.Module) -> dict:
    """Names and shapes of all parameters and buffers that a model saves."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def differences_of(recognised: Recognised, expected: Mapping[str, tuple]) -> Differences:
    """Compare recognised weights with what a model expects of their kind.

    A backbone of ImageNet is compared with the backbone alone, without the norms
    of its feature maps.
    """
    if recognised.source != BACKBONE:
        return compare(recognised.state_dict, expected)
    return compare(*map(_without_head_and_norms, (recognised.state_dict, expected)))


def _without_head_and_norms(named: Mapping) -> dict:
    return {
        name: value
        for name, value in named.items()
        if name.startswith('backbone.') and not name.startswith('backbone.norm')
    }


def expected_shapes(config: Union[str, Path]) -> dict:
    """Names and shapes that the model of a config expects, without making its weights.

    Args:
        config: Path, or name of a shipped config.

    Raises:
        FileNotFoundError: If there is no such config.
        WeightsError: If it has no model, or one that cannot be built.
    """
    path = find_config(config)
    return _shapes_of_file(path, path.stat().st_mtime_ns)


@cache
def _shapes_of_file(path: Path, modified: int) -> dict:
    """Build a model on the meta device, once for each config file as it is now."""
    try:
        model = Config.fromfile(path).get('model')
        if model is not None and (settings := str(model)) not in _SHAPES:
            register_all_modules(init_default_scope=False)
            with torch.device('meta'), _DropPathRatesOnCpu():
                _SHAPES[settings] = shapes_of(MODELS.build(model))
    # a config is code, and its model anybody's: whatever it raises is its user's to mend
    except Exception as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise WeightsError(f'the model of config {path} cannot be built: {reason}') from error
    if model is None:
        raise WeightsError(f'config {path} has no model; give one that trains or tests a model')
    return _SHAPES[settings]


class _DropPathRatesOnCpu(TorchFunctionMode):
    """Let backbones read their drop path rates from a ``linspace`` on the meta device."""

    def __torch_function__(
        self, func: object, types: tuple, args: tuple = (), kwargs: Union[dict, None] = None
    ) -> object:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs.setdefault('device', 'cpu')
        return func(*args, **kwargs)


def fitting_configs(recognised: Recognised) -> list:
    """Names of the shipped configs that weights fit in every name and shape."""
    return [name for name, differences in _ranked(recognised) if not differences]


def nearest_config(recognised: Recognised) -> tuple:
    """Name of the shipped config that differs least from weights, and how."""
    return _ranked(recognised)[0]


def _ranked(recognised: Recognised) -> list:
    ranked = [
        (name, differences_of(recognised, expected_shapes(CONFIGS / name)))
        for name in shipped_configs()
    ]
    return sorted(ranked, key=lambda item: len(item[1]))


def describe(state_dict: Mapping[str, Tensor]) -> str:
    """Say in a few words what architecture weights in mmentity's names are of."""
    parts = []
    if any(name.startswith('panoptic_head.') for name in state_dict):
        two_passes = any(name.startswith('panoptic_head.association.') for name in state_dict)
        parts.append('CropFormer' if two_passes else 'Mask2Former')
    backbone = {name: value for name, value in state_dict.items() if name.startswith('backbone.')}
    tables = [value for name, value in backbone.items() if name.endswith('bias_table')]
    stems = ('backbone.patch_embed.projection.bias', 'backbone.downsample_layers.0.0.bias')
    stem = next((backbone[name] for name in stems if name in backbone), None)
    width = f' of width {len(stem)}' if stem is not None else ''
    if tables:
        window = (int(len(tables[0]) ** 0.5) + 1) // 2
        parts.append(f'Swin{width}, window {window}')
    elif any('.gnconv.' in name for name in backbone):
        parts.append(f'HorNet{width}')
    for name, what, less in (
        ('panoptic_head.query_feat.weight', 'queries', 0),
        ('panoptic_head.cls_embed.bias', 'classes', 1),
    ):
        if name in state_dict:
            number = len(state_dict[name]) - less
            parts.append(f'{number} {what if number > 1 else "class"}')
    return ', '.join(parts) or 'an unknown architecture'
