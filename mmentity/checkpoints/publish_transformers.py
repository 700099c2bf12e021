"""Weights of a Mask2Former as the folder of a model of transformers."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any, Optional, Union

from mmengine.config import Config

from mmentity.checkpoints.configs import describe
from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.load import LICENCE, meta_of, recognise_file
from mmentity.checkpoints.publish import Published, configs_of, origin_of
from mmentity.checkpoints.read import read_checkpoint
from mmentity.checkpoints.recognise import BACKBONE, HUGGING_FACE, map_to_transformers
from mmentity.checkpoints.safetensors_files import write_safetensors
from mmentity.checkpoints.transformers_config import model_config, processor_config
from mmentity.checkpoints.transformers_folder import CONFIG, WEIGHTS
from mmentity.utils.files import sha256_of
from mmentity.utils.shipped_configs import find_config
from mmentity.version import __version__

CARD = 'README.md'
PROCESSOR = 'preprocessor_config.json'
TEMPLATES = Path(__file__).parent / 'model_cards'
# beside that of entities; the first one that a model has is on its card
TASKS = ('instance', 'semantic', 'panoptic')
OFFICIAL_SCORE = (
    '\nThe released code scores masks by the sigmoid of their probabilities, and thresholds of '
    '0.3 to 0.6\nthat are in use are tuned to it; so does this code.\n'
)
UNKNOWN_LICENCE = (
    'the checkpoint does not say; name it here. What was trained from the weights of the authors '
    f'of CropFormer keeps their licence, {LICENCE}'
)


def publish_transformers(
    source: Union[str, Path],
    target: Union[str, Path],
    config: Optional[Union[str, Path]] = None,
) -> Published:
    """Write a Mask2Former with a Swin as a folder that ``from_pretrained`` loads.

    ``Mask2FormerForUniversalSegmentation`` and ``AutoImageProcessor`` take it. Its model card
    has the licence of the weights, and code that gives the id map of mmentity.

    Args:
        source: Checkpoint: official, converted, or of a training run here.
        target: Folder to write, new or empty.
        config: Config that the weights must fit. Defaults to the shipped config that has
            exactly their names and shapes.

    Raises:
        FileNotFoundError: If ``source`` or ``config`` does not exist.
        WeightsError: If it cannot be read or fits no config, or transformers has no such model,
            as it has no CropFormer and no HorNet.
        OSError: If the folder is not empty or cannot be written; nothing stays behind.
    """
    target = Path(target).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f'{target} is there already; give a folder that is new or empty')
    checkpoint = read_checkpoint(source)
    weights = recognise_file(checkpoint, source)
    if weights.source in (BACKBONE, HUGGING_FACE):
        raise WeightsError(f'{source} is of {weights.source}; give the weights of a Mask2Former')
    try:
        mapping = map_to_transformers(weights.state_dict)
    except WeightsError as error:
        raise WeightsError(f'{source}: {error}') from error
    configs = configs_of(weights, source, config)
    settings = Config.fromfile(find_config(configs[0]))
    meta = {
        **meta_of(weights.source, weights.state_dict, source),
        **origin_of(checkpoint),
        'config': Path(configs[0]).name,
        'mmentity_version': __version__,
        'source_sha256': sha256_of(source),
    }
    description = f'{describe(weights.state_dict)}, of {weights.source}'
    classes = meta.get('dataset_meta', {}).get('classes', ())
    texts = {
        CONFIG: json.dumps(model_config(mapping.state_dict, settings, classes), indent=2),
        PROCESSOR: json.dumps(processor_config(settings), indent=2),
        CARD: model_card(settings, meta, description),
    }
    with _whole_folder(target) as partial:
        write_safetensors(partial / WEIGHTS, mapping.state_dict, meta)
        for name, text in texts.items():
            (partial / name).write_text(text, encoding='utf-8')
    return Published(target, description, configs, mapping.mapped, mapping.dropped)


def model_card(settings: Config, meta: Mapping[str, Any], description: str) -> str:
    """Write the model card: what the weights are, their licence, and code that runs them.

    Args:
        settings: Config of the model in mmentity.
        meta: Where the weights are from.
        description: What they are of, in a few words.
    """
    test_cfg = settings.model.get('test_cfg') or {}
    num_things = settings.model.panoptic_head.num_things_classes
    num_stuff = settings.model.panoptic_head.num_stuff_classes
    others = [name for name in TASKS if test_cfg.get(f'{name}_on')]
    finds_entities = test_cfg.get('entity_on', not others or num_things + num_stuff == 1)
    task = 'entity' if finds_entities else others[0]
    official_score = test_cfg.get('mask_score', 'official') == 'official'
    usage = _template('entity' if task == 'entity' else 'classes').substitute(
        mask_thr=test_cfg.get('mask_thr', 0.5),
        max_per_image=test_cfg.get('max_per_image', ''),
        sigmoid='.sigmoid()' if official_score else '',
        score_note=OFFICIAL_SCORE if official_score else '',
        task=task,
        options=f', label_ids_to_fuse=range({num_things}, {num_things + num_stuff})'
        if task == 'panoptic'
        else '',
    )
    licence = meta.get('licence')
    return _template('card').substitute(
        license_id='cc-by-nc-4.0' if licence == LICENCE else 'other',
        licence=licence or UNKNOWN_LICENCE,
        title=Path(meta['config']).stem,
        description=description,
        version=__version__,
        source=meta['source'],
        sha256=meta['source_sha256'],
        usage=usage,
    )


def _template(name: str) -> Template:
    return Template((TEMPLATES / f'{name}.md').read_text(encoding='utf-8'))


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder to write in, which gets its name when all went well."""
    partial = target.with_name(f'{target.name}.partial-{os.getpid()}')
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
