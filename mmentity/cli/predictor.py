"""The inferencer of a command: of a config and weights, or of an exported network."""

import argparse
from typing import TYPE_CHECKING, Optional, Union

from mmentity.apis import EntityInferencer
from mmentity.apis.inferencer import is_exported_file
from mmentity.cli.arguments import DEFAULT_MODEL
from mmentity.utils.logs import get_logger

if TYPE_CHECKING:
    from mmengine.config import Config

# of mmentity.models.precision, which PyTorch comes with
PRECISIONS = ('bf16', 'fp16', 'fp32')


def build_inferencer(
    args: argparse.Namespace, features: bool = False
) -> tuple[EntityInferencer, str]:
    """Build the inferencer of a command; return it with the path of its weights.

    Args:
        args: Parsed command line of ``mmentity predict``.
        features: Whether results have features of entities.

    Raises:
        FileNotFoundError: If there is no such config, checkpoint or file.
        ValueError: If the options do not go together.
    """
    model = args.model or DEFAULT_MODEL
    if is_exported_file(model):
        return _exported(args, features), model
    from mmentity.cli.model_weights import weights_of
    from mmentity.utils.shipped_configs import get_config

    config = get_config(model)
    config.merge_from_dict(args.cfg_options or {})
    _set_depth(config, args.depth)
    weights = weights_of(args, config)
    inferencer = _inferencer_of(config, weights, args, features)
    get_logger().info(f'{model} with {weights} on {inferencer.device} in {inferencer.precision}')
    return inferencer, weights


def _exported(args: argparse.Namespace, features: bool) -> EntityInferencer:
    if args.cfg_options:
        raise ValueError(
            f'--cfg-options: {args.model} is an exported network, whose config is part of it; '
            'give them to mmentity export'
        )
    inferencer = _inferencer_of(args.model, args.weights, args, features)
    inferencer.backend.depth = args.depth or 'auto'
    get_logger().info(f'{args.model} of {inferencer.origin["config"]} on {inferencer.device}')
    return inferencer


def _inferencer_of(
    model: Union[str, 'Config'],
    weights: Optional[str],
    args: argparse.Namespace,
    features: bool,
) -> EntityInferencer:
    return EntityInferencer(
        model,
        weights,
        args.device,
        precision=args.precision,
        compile=args.compile,
        crops=args.crops,
        views=args.views,
        view_overlap=args.view_overlap,
        features=features,
    )


def _set_depth(config: 'Config', depth: Optional[str]) -> None:
    """Set the depth of the step of the config that reads files, where one is given."""
    from mmentity.apis.torch_backend import LOADERS

    if depth is None:
        return
    steps = config.test_dataloader.dataset.pipeline
    loaders = [step for step in steps if str(step['type']).endswith(LOADERS)]
    if not any('mmentity' in (step.get('_scope_'), step['type'].split('.')[0]) for step in loaders):
        raise ValueError(
            f'depth needs the loader of mmentity in the test pipeline of {config.filename}'
        )
    for step in loaders:
        step['depth'] = depth
