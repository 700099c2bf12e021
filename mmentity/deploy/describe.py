"""What surrounds the network of a detector, read from the detector and its config."""

from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config

from mmentity.deploy.graph_info import GraphInfo
from mmentity.models.detectors import EntityMask2Former
from mmentity.utils.shipped_configs import decisive_digest
from mmentity.version import __version__

# arguments of the steps of a test pipeline that can be done without PyTorch
KNOWN_STEPS = {
    'CropViews': {'crop_ratio'},
    'ResizeViews': {'short_side', 'long_side'},
    'PackEntityInputs': {'meta_keys'},
}


def describe_graph(
    model: EntityMask2Former, height: Optional[int], width: Optional[int], half: bool
) -> GraphInfo:
    """Describe the graph of a detector.

    Args:
        model: Detector with its config as ``cfg``.
        height: Height of the views, px; None for the default.
        width: Width of the views, px; None for the default.
        half: Whether weights are in float16.

    Raises:
        ValueError: If the detector predicts no entities, its pipeline has steps that cannot be
            done without PyTorch, or the size cannot be used.
    """
    if not hasattr(model, 'cfg'):
        raise ValueError('the model has no config; set model.cfg, or build it with get_model')
    config, fusion = model.cfg, model.panoptic_fusion_head
    name = Path(config.filename or 'config').stem
    if 'entity' not in fusion.tasks:
        raise ValueError(
            f'{name} predicts {", ".join(fusion.tasks)}; only entities can be predicted from an '
            'exported file'
        )
    steps = _steps_of(config, name)
    crops, resize = steps.get('CropViews'), steps['ResizeViews']
    short_side, long_side = resize.get('short_side', 800), resize.get('long_side', 1333)
    preprocessor = model.data_preprocessor
    if not preprocessor._channel_conversion:
        raise ValueError(f'{name} takes BGR; an exported file takes RGB, as bgr_to_rgb=True gives')
    divisor = preprocessor.pad_size_divisor
    height, width = (
        _side(name, given, default, divisor)
        for name, given, default in (
            ('height', height, short_side),
            ('width', width, long_side),
        )
    )
    return GraphInfo(
        config=name,
        config_sha256=decisive_digest(config),
        model=type(model).__name__,
        classes=tuple(getattr(model, 'dataset_meta', {}).get('classes', ('entity',))),
        num_views=1 if crops is None else 5,
        crop_ratio=None if crops is None else crops.get('crop_ratio', 0.7),
        short_side=short_side,
        long_side=long_side,
        height=height,
        width=width,
        mean=tuple(preprocessor.mean.flatten().tolist()),
        std=tuple(preprocessor.std.flatten().tolist()),
        max_per_image=fusion.max_per_image,
        mask_thr=fusion.mask_thr,
        sigmoid_twice=fusion.mask_score == 'official',
        half=half,
        task='entity',
        made_by=__version__,
    )


def _steps_of(config: Config, name: str) -> dict[str, dict[str, Any]]:
    """Arguments of the steps of the test pipeline that make views, by type."""
    found: dict[str, dict[str, Any]] = {}
    for step in config.test_dataloader.dataset.pipeline if 'test_dataloader' in config else []:
        kind = str(step['type']).rpartition('.')[2]
        if kind.startswith('Load'):
            continue
        arguments = {key: value for key, value in step.items() if key != 'type' and key[0] != '_'}
        unknown = set(arguments) - KNOWN_STEPS.get(kind, set())
        if (
            kind not in KNOWN_STEPS
            or unknown
            or not isinstance(arguments.get('short_side', 0), int)
        ):
            raise ValueError(
                f'the test pipeline of {name} has {kind}({", ".join(map(str, arguments))}), which '
                'an exported file cannot repeat; it needs CropViews (or not), ResizeViews with '
                'one short_side, and PackEntityInputs'
            )
        found[kind] = arguments
    if 'ResizeViews' not in found:
        raise ValueError(f'the test pipeline of {name} has no ResizeViews; see configs/_base_')
    return found


def _side(name: str, given: Optional[int], default: int, divisor: int) -> int:
    """Check one side of the graph, px; by default the next multiple of the config's."""
    if given is None:
        return -(-default // divisor) * divisor
    if given < divisor or given % divisor:
        nearest = max(divisor, -(-given // divisor) * divisor)
        raise ValueError(
            f'{name} is {given}; views are padded to multiples of {divisor} px, such as {nearest}'
        )
    return given
