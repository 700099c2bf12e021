"""Which shipped config weights are for, and what the model of a config expects."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional, TypeVar, Union

import yaml
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from mmentity.checkpoints.errors import WeightsError
from mmentity.utils.shipped_configs import CONFIGS, find_config, shipped_configs

Named = TypeVar('Named')
Shape = tuple[int, ...]

# what a state dict holds beside parameters
BUFFERS = ('position_index', 'running_mean', 'running_var', 'num_batches_tracked')
QUERIES = 'panoptic_head.query_feat.weight'
CLASSES = 'panoptic_head.cls_embed.bias'
STEMS = ('backbone.patch_embed.projection.bias', 'backbone.downsample_layers.0.0.bias')


class Architecture(NamedTuple):
    """What tells the shipped configs apart; of a backbone alone, only the number of values."""

    parameters: int
    model: Optional[str] = None
    queries: Optional[int] = None
    classes: Optional[int] = None

    def distance(self, other: 'Architecture') -> float:
        """Say how far another architecture is; 0 for the same."""
        different = sum(one != another for one, another in zip(self[1:], other[1:]))
        return different + abs(math.log(max(self.parameters, 1) / other.parameters))


def architecture_of(state_dict: Mapping[str, Tensor]) -> Architecture:
    """Find out the architecture of weights in mmentity's names."""
    sizes = {
        name: value.numel() for name, value in state_dict.items() if not name.endswith(BUFFERS)
    }
    if QUERIES not in state_dict or CLASSES not in state_dict:
        return Architecture(sum(backbone_part(sizes).values()))
    two_passes = any(name.startswith('panoptic_head.association.') for name in state_dict)
    model = 'CropFormer' if two_passes else 'Mask2Former'
    queries, classes = len(state_dict[QUERIES]), len(state_dict[CLASSES]) - 1
    return Architecture(sum(sizes.values()), model, queries, classes)


def backbone_part(named: Mapping[str, Named]) -> dict[str, Named]:
    """Take what belongs to a backbone; the norms of its feature maps are learned with the head."""
    return {
        name: value
        for name, value in named.items()
        if name.startswith('backbone.') and not name.startswith('backbone.norm')
    }


def distances_to_configs(state_dict: Mapping[str, Tensor]) -> dict[str, float]:
    """Say how far the architecture of each shipped config, by the metafile, is from weights."""
    found = architecture_of(state_dict)
    models = yaml.safe_load((CONFIGS / 'metafile.yml').read_text(encoding='utf-8'))['Models']
    described = {model['Config'][len('configs/') :]: model for model in models}
    distances = {}
    for name in filter(described.__contains__, shipped_configs()):
        metadata = described[name]['Metadata']
        shipped = Architecture(
            metadata['Parameters'],
            described[name]['In Collection'],
            metadata['Queries'],
            metadata['Classes'],
        )
        if found.model is None:
            shipped = Architecture(metadata['Backbone Parameters'])
        distances[name] = found.distance(shipped)
    return distances


def fitting_configs(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Names of the shipped configs of the architecture of weights in mmentity's names."""
    return [name for name, distance in distances_to_configs(state_dict).items() if distance == 0]


def shapes_of(model: nn.Module) -> dict[str, Shape]:
    """Names and shapes of all parameters and buffers that a model saves."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def expected_shapes(config: Union[str, Path]) -> dict[str, Shape]:
    """Names and shapes that the model of a config expects, without making its weights.

    Raises:
        FileNotFoundError: If there is no such config.
        WeightsError: If it has no model, or one that cannot be built.
    """
    path = find_config(config)
    try:
        settings = Config.fromfile(path).get('model')
        if settings is not None:
            register_all_modules(init_default_scope=False)
            with _parameters_without_values():
                return shapes_of(MODELS.build(settings))
    # a config is code, and its model anybody's: whatever it raises is for its user to fix
    except Exception as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise WeightsError(f'the model of config {path} cannot be built: {reason}') from error
    raise WeightsError(f'config {path} has no model; give one that trains or tests a model')


@contextmanager
def _parameters_without_values() -> Iterator[None]:
    """Let modules that are made meanwhile have parameters of the device ``meta``."""

    def without_values(module: nn.Module, name: str, parameter: Any) -> Optional[nn.Parameter]:
        return None if parameter is None else nn.Parameter(parameter.to('meta'))

    handle = register_module_parameter_registration_hook(without_values)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def describe(state_dict: Mapping[str, Tensor]) -> str:
    """Describe in a few words what architecture weights in mmentity's names are of."""
    found = architecture_of(state_dict)
    parts = [found.model] if found.model else []
    stem = next((state_dict[name] for name in STEMS if name in state_dict), None)
    width = f' of width {len(stem)}' if stem is not None else ''
    table = next((v for name, v in state_dict.items() if name.endswith('bias_table')), None)
    if table is not None:
        parts.append(f'Swin{width}, window {(int(len(table) ** 0.5) + 1) // 2}')
    elif any('.gnconv.' in name for name in state_dict):
        parts.append(f'HorNet{width}')
    if found.model:
        parts.append(f'{found.queries} queries')
        parts.append('1 class' if found.classes == 1 else f'{found.classes} classes')
    return ', '.join(parts) or 'an unknown architecture'
