"""Weights of any known source into a model: by function, by mmengine, by ``load_state_dict``.

A checkpoint comes in through :func:`load_weights` or through mmengine, whose
runners and whose ``load_checkpoint`` (of ``init_detector``) call
:func:`load_from_local`. Either way its weights are recognised, converted and
compared with the model by the same functions; in the second way when the model
takes its state dict, in :func:`prepare_state_dict`.
"""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmentity import datasets
from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.fit import fit
from mmentity.checkpoints.key_map import Weights
from mmentity.checkpoints.read import read_checkpoint, state_dict_in, weights_of
from mmentity.checkpoints.recognise import OFFICIAL, recognise, source_of
from mmentity.models.detectors import EntityMask2Former

AUTHORS = 'https://github.com/qqlu/Entity'
LICENCE = 'CC BY-NC 4.0, non-commercial use only'
DATASETS = (
    datasets.EntitySegDataset,
    datasets.EntitySegInstanceDataset,
    datasets.EntitySegSemanticDataset,
    datasets.EntitySegPanopticDataset,
)
CLASS_BIASES = ('predictor.class_embed.bias', 'panoptic_head.cls_embed.bias')
# Paths without a scheme such as https:// before them.
LOCAL_PATH = r'(?!\S+://)'


def load_weights(model: nn.Module, path: Union[str, Path]) -> dict[str, Any]:
    """Load a checkpoint into a model, converted in memory where it is official.

    Every name and shape has to fit; values are cast to the model's dtype and
    moved to its device.

    Args:
        model: Model of a shipped config, or of one of yours.
        path: Official checkpoint (``.pth`` with or without its wrapper, or
            ``.pkl``), converted one, or one of a training run here; as ``.safetensors``
            too; or a Mask2Former of transformers, its folder or its file of weights.

    Returns:
        The checkpoint's ``meta``, with ``dataset_meta`` or ``cfg`` where it has
        them; for an official one its source, licence and classes.

    Raises:
        FileNotFoundError: If there is no such file.
        WeightsError: A ValueError, if it cannot be read, belongs to another project, or does not
            fit the model.

    Examples:
        >>> from mmdet.apis import init_detector
        >>> model = init_detector('configs/cropformer_hornet-l_3x.py', device='cpu')
        >>> load_weights(model, 'CropFormer_hornet_3x_03823a.pth')
    """
    checkpoint = read_checkpoint(path)
    weights = recognise_file(checkpoint, path)
    model.load_state_dict(fit(weights, model, path).state_dict, strict=True)
    if isinstance(checkpoint.get('meta'), dict):
        return dict(checkpoint['meta'])
    return meta_of(weights.source, weights.state_dict, path)


def recognise_file(checkpoint: Mapping[str, Any], path: Union[str, Path]) -> Weights:
    """Recognise the weights of a checkpoint; a :class:`WeightsError` names the file."""
    state_dict = weights_of(checkpoint, path)
    try:
        return recognise(state_dict)
    except ValueError as error:
        raise WeightsError(f'{path}: {error}') from error


def meta_of(
    source: str, state_dict: Mapping[str, Tensor], path: Union[str, Path]
) -> dict[str, Any]:
    """Describe where weights of a source are from and their classes, for a ``meta``."""
    meta: dict[str, Any] = {'source': Path(path).name}
    if source == OFFICIAL:
        meta.update(authors=AUTHORS, licence=LICENCE)
    for name, value in state_dict.items():
        for dataset in DATASETS if name.endswith(CLASS_BIASES) else ():
            if len(dataset.METAINFO['classes']) == len(value) - 1:
                meta['dataset_meta'] = dict(dataset.METAINFO)
    return meta


class _MetaWithoutTraining(dict[str, Any]):
    """The ``meta`` of a file that holds no state of a training, which a resumed run asks for."""

    def __missing__(self, key: str) -> None:
        if key not in ('epoch', 'iter'):
            raise KeyError(key)
        raise WeightsError(
            f'{self["source"]} holds no state of a training; begin with it as load_from, without '
            '--resume'
        )


@CheckpointLoader.register_scheme(LOCAL_PATH)
def load_from_local(filename: str, map_location: object = None) -> dict[str, Any]:
    """Read a local checkpoint for mmengine, always onto the CPU.

    Weights of a known project get mmengine's form, with a ``meta`` that names their
    classes, and keep their names; other files come as they are. :func:`prepare_state_dict` learns
    the name of the file from the metadata of the state dict.
    """
    # not mapped: a run may overwrite the file that it was resumed from
    checkpoint = read_checkpoint(filename, mmap=False)
    source = source_of([str(name) for name in state_dict_in(checkpoint)])
    if source is not None and not {'state_dict', 'meta'} <= checkpoint.keys():
        state_dict = weights_of(checkpoint, filename)
        meta = {**meta_of(source, state_dict, filename), **(checkpoint.get('meta') or {})}
        checkpoint.update(meta=_MetaWithoutTraining(meta), state_dict=state_dict)
    elif source is not None and isinstance(checkpoint['meta'], dict):
        # mmdet and mmseg take the classes of COCO and Cityscapes where there are none
        named = meta_of(source, checkpoint['state_dict'], filename)
        for key in named.keys() & {'dataset_meta'}:
            checkpoint['meta'].setdefault(key, named[key])
    if not isinstance(checkpoint, OrderedDict):
        checkpoint = OrderedDict(checkpoint)
    describe_load(checkpoint, file=filename)
    return checkpoint


def describe_load(checkpoint: dict[str, Any], **facts: str) -> None:
    """Add to what :func:`prepare_state_dict` says in its messages: ``file``, ``target``."""
    state_dict = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state_dict, dict):
        return
    if not isinstance(state_dict, OrderedDict):
        state_dict = checkpoint['state_dict'] = OrderedDict(state_dict)
    metadata = getattr(state_dict, '_metadata', {})
    # PyTorch hands it on to each module that loads from the state dict
    state_dict._metadata = {**metadata, '': {**metadata.get('', {}), **facts}}  # type: ignore[attr-defined]


def prepare_state_dict(
    model: EntityMask2Former,
    state_dict: dict[str, Tensor],
    prefix: str,
    metadata: Mapping[str, Any],
) -> None:
    """Convert weights that a model is about to load, in place, and check that they fit.

    A model in training mode, as it is when it is built, also takes weights that a
    training may begin with; it then refuses to predict before it is trained.
    Where the metadata names no ``file``, only official names are converted and
    checked, and PyTorch does the rest.
    """
    named = {
        name[len(prefix) :]: state_dict[name] for name in state_dict if name.startswith(prefix)
    }
    model.incomplete = None
    if 'file' not in metadata and source_of(state_dict_in(named).keys()) != OFFICIAL:
        return
    path = metadata.get('file', 'the state dict')
    target = metadata.get('target', 'the model')
    fitted = fit(recognise_file(named, path), model, path, target, model.training)
    for name in named:
        del state_dict[prefix + name]
    state_dict.update({prefix + name: value for name, value in fitted.state_dict.items()})
    model.incomplete = fitted.error


EntityMask2Former.load_hooks.append(prepare_state_dict)
