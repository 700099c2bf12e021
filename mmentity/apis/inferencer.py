"""Prediction of the entities of files, folders, videos and arrays."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.infer import BaseInferencer
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from torch import nn

from mmentity.apis.class_names import ENTITY
from mmentity.apis.compiled import compile_for_prediction
from mmentity.apis.crops import with_crops
from mmentity.apis.inputs import (
    ImageLike,
    InputImage,
    Inputs,
    ListOptions,
    Source,
    count,
    expand,
    is_single,
    iterate,
    to_bgr,
)
from mmentity.apis.models import get_model, usable_device
from mmentity.apis.result import EntityResult
from mmentity.apis.threads import map_in_background
from mmentity.checkpoints.hub import weights_file
from mmentity.converters import load_weights
from mmentity.datasets.errors import SampleError
from mmentity.datasets.geometry import longest_side_size, resize_image
from mmentity.models.memory import is_out_of_memory
from mmentity.models.precision import check_precision, usable_precision
from mmentity.utils.files import printable
from mmentity.utils.progress import show_progress
from mmentity.utils.shipped_configs import get_config

ON_ERROR = ('raise', 'skip')
# types of the step of a test pipeline that reads a file
LOADERS = ('LoadImageFromFile', 'LoadEntityImage')


@dataclass(frozen=True)
class LoadOptions:
    """How images are loaded and batched.

    Attributes:
        batch_size: Images that go through the network together. Only
            neighbours of the same padded size do, so that the result of an
            image does not depend on the others.
        workers: Threads that load in the background; 0 loads while the network
            waits.
        keep_image: Whether results carry the image.
        size: Height and width in px to which an image is resized by OpenCV's nearest
            neighbour before the network sees it.
        max_side: A longer image is shrunk to this long side in px, as Pillow does
            bilinearly, before the network sees it; the map is resized back by nearest
            neighbour. Takes less time and memory on large images.

    Raises:
        ValueError: If ``max_side`` is below 1.
    """

    batch_size: int = 1
    workers: int = 2
    keep_image: bool = False
    size: Optional[tuple[int, int]] = None
    max_side: Optional[int] = None

    def __post_init__(self) -> None:
        if self.max_side is not None and self.max_side < 1:
            raise ValueError(f'max_side is {self.max_side}; it is a length in px, at least 1')


class Loaded(NamedTuple):
    """One image as the test pipeline packs it.

    Attributes:
        image: Where it is from.
        packed: What the network takes.
        size: Height and width in px that its map gets.
        rgb: uint8 RGB of that size, if kept.
    """

    image: InputImage
    packed: dict[str, Any]
    size: tuple[int, int]
    rgb: Optional[np.ndarray]


class Outcome(NamedTuple):
    """What became of one image: its entities, or the error."""

    image: InputImage
    result: Union[EntityResult, Exception]


class EntityInferencer(BaseInferencer):
    """Find the entities of images, in the way of mmdet's ``DetInferencer``.

    Args:
        model: Name of a shipped config (``'cropformer_hornet-l_3x'``), path of a
            config, config, or a built model that has its config as ``cfg``.
        weights: Checkpoint: trained here, converted, or of the official release;
            ``'official'`` fetches the authors' weights of a shipped config (for
            non-commercial use only). Without one the model is as random as it was built.
        device: Such as ``'cuda:0'``; the best that is there by default.
        show_progress: Whether to show a progress bar.
        precision: ``'fp32'``, ``'bf16'`` or ``'fp16'``, in place of
            ``test_cfg.precision``, which is fp32 if not set. Half precision is faster and
            changes a few pixels; a device that it does not make faster runs in fp32, and
            a warning says why.
        compile: Whether to compile the network with ``torch.compile``, which takes minutes at
            the first images and pays off over many.
        crops: Crops that a CropFormer sees beside the whole image, 0..4, see
            :func:`mmentity.apis.crops.with_crops`; by default those of the test pipeline.

    Attributes:
        failures: Pairs of image and reason of the last call with
            ``on_error='skip'``.
        progress_label: What the progress bar says.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the weights do not fit, the device cannot be used, there is no
            compiler, the precision is none of the above, or the config has no test pipeline of mmentity, cuts no crops where ``crops`` is given, or predicts no entities.

    Examples:
        >>> inferencer = EntityInferencer('cropformer_hornet-l_3x', 'CropFormer_hornet_3x_03823a.pth')
        >>> result = inferencer.predict('street.jpg')
        >>> results = inferencer(['street.jpg', 'square.jpg'])
        >>> for result in inferencer.stream('frames/', batch_size=4, on_error='skip'):
        ...     print(result.name, len(result), result.entity_map.shape)
    """  # noqa: E501

    def __init__(
        self,
        model: Union[str, Path, Config, nn.Module],
        weights: Optional[Union[str, Path]] = None,
        device: Optional[str] = None,
        show_progress: bool = True,
        precision: Optional[str] = None,
        compile: bool = False,
        crops: Optional[int] = None,
    ) -> None:
        check_precision(precision)
        self.failures: list[tuple[InputImage, str]] = []
        self._built = model if isinstance(model, nn.Module) else None
        config = _config_of(model)
        if crops is not None:
            config = with_crops(config, crops)
        super().__init__(
            config,
            None if weights is None else str(weights),
            usable_device(device or get_device()),
            config.get('default_scope', 'mmdet'),
            show_progress,
        )
        if precision is not None:
            # not in place: the config of the model has it too
            test_cfg = {**(self.model.test_cfg or {}), 'precision': precision}
            self.model.test_cfg = ConfigDict(test_cfg)
        if crops == 0:
            # of a model that was built before, too
            head = self.model.panoptic_head
            head.test_cfg = ConfigDict({**(head.test_cfg or {}), 'one_view': True})
        self.progress_label = 'images'
        if compile:
            compile_for_prediction(self.model)
            self.progress_label = 'images (the first ones wait for the compiler)'

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.model.parameters()).device

    @property
    def precision(self) -> str:
        """Precision in which the network runs: the one asked for, or fp32."""
        return usable_precision((self.model.test_cfg or {}).get('precision'), self.device)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label; of a model that knows none, ``('entity',)``."""
        meta = getattr(self.model, 'dataset_meta', None) or {}
        return tuple(meta.get('classes') or ENTITY)

    def predict(
        self,
        image: ImageLike,
        keep_image: bool = True,
        max_side: Optional[int] = None,
        size: Optional[tuple[int, int]] = None,
    ) -> EntityResult:
        """Predict one image.

        Args:
            image: Path, array (uint8, BGR), PIL image or bytes of a file.
            keep_image: Whether the result carries the image, for drawing.
            max_side: As of :class:`LoadOptions`.
            size: As of :class:`LoadOptions`.

        Raises:
            FileNotFoundError: If it does not exist.
            SampleError: If the image cannot be used.
            ValueError: If it is a folder, a video, or a glob of several.
        """
        first, *others = expand([image])
        if others or not isinstance(first, InputImage):
            given = image if isinstance(image, (str, Path)) else type(image).__name__
            raise ValueError(
                f'{given} is more than one image; go through it with inferencer.stream(inputs)'
            )
        options = LoadOptions(workers=0, keep_image=keep_image, size=size, max_side=max_side)
        ((_, result),) = self.outcomes([first], options)
        if isinstance(result, Exception):
            raise result
        return result

    def __call__(
        self,
        inputs: Inputs,
        batch_size: int = 1,
        on_error: str = 'raise',
        workers: int = 2,
        keep_image: bool = False,
        listing: ListOptions = ListOptions(),  # noqa: B008
        max_side: Optional[int] = None,
    ) -> list[EntityResult]:
        """Predict images and return all results.

        They are in memory together; :meth:`stream` gives one after the other.

        Args:
            inputs: As for :meth:`stream`.
            batch_size: As for :meth:`stream`.
            on_error: As for :meth:`stream`.
            workers: As for :meth:`stream`.
            keep_image: As for :meth:`stream`.
            listing: As for :meth:`stream`.
            max_side: As for :meth:`stream`.

        Raises:
            FileNotFoundError: If an input does not exist or holds no image.
            SampleError: If an image cannot be used and ``on_error`` is ``'raise'``.
            ValueError: If an argument is none of the above.
        """
        return list(
            self.stream(inputs, batch_size, on_error, workers, keep_image, listing, max_side)
        )

    def stream(
        self,
        inputs: Inputs,
        batch_size: int = 1,
        on_error: str = 'raise',
        workers: int = 2,
        keep_image: bool = False,
        listing: ListOptions = ListOptions(),  # noqa: B008
        max_side: Optional[int] = None,
    ) -> Iterator[EntityResult]:
        """Predict images one after the other, as they are asked for.

        Images are loaded in the background while the network computes; a few
        wait at a time, so a folder of any size takes the same memory.

        Args:
            inputs: Path of an image, video or folder, a glob, an array (uint8
                grey, BGR or BGRA), a PIL image, the bytes of a file, or any iterable of
                these, also one without an end, which is taken from as results are.
            batch_size: Neighbours of one size that go through the network together.
            on_error: ``'raise'`` at an image that cannot be used, or ``'skip'`` it:
                it is logged and listed in :attr:`failures`.
            workers: Threads that load; 0 loads while the network waits.
            keep_image: Whether results carry the image, for drawing.
            listing: How folders and files of many frames are gone through.
            max_side: As of :class:`LoadOptions`.

        Yields:
            Results in the order of the inputs, one for each image; files of a folder in
            natural order.

        Raises:
            FileNotFoundError: When the turn of an input comes that does not exist or
                holds no image, and ``on_error`` is ``'raise'``.
            SampleError: When that of an image comes that cannot be used, likewise.
            ValueError: If an argument is none of the above.
        """
        if on_error not in ON_ERROR:
            raise ValueError(f'on_error is {on_error!r}; it must be one of {", ".join(ON_ERROR)}')
        if batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}; it must be at least 1')
        options = LoadOptions(batch_size, workers, keep_image, max_side=max_side)
        sources: Iterable[Source] = expand(inputs, listing)
        total = None
        if is_single(inputs) or isinstance(inputs, Sequence):
            # all is there already, so that it can be counted
            sources = list(sources)
            total = count(sources) if self.show_progress else None
        self.failures = []
        return self._results(sources, total, options, on_error)

    def _results(
        self,
        sources: Iterable[Source],
        total: Optional[int],
        options: LoadOptions,
        on_error: str,
    ) -> Iterator[EntityResult]:
        outcomes: Iterable[Outcome] = self.outcomes(iterate(sources), options)
        if self.show_progress:
            outcomes = show_progress(outcomes, total, self.progress_label)
        for image, result in outcomes:
            if not isinstance(result, Exception):
                yield result
            elif on_error == 'raise':
                raise result
            else:
                reason = printable(str(result))
                self.failures.append((image, reason))
                MMLogger.get_current_instance().warning(
                    f'skipped {printable(image.name)}: {reason}'
                )

    def outcomes(self, images: Iterable[InputImage], options: LoadOptions) -> Iterator[Outcome]:
        """Predict images; one that fails does not stop the others.

        Args:
            images: Images, not loaded yet.
            options: How they are loaded and batched.

        Yields:
            An outcome for each image, in their order.
        """
        load = partial(self._load, options=options)
        pending = options.batch_size + options.workers
        batch: list[Loaded] = []
        for loaded in map_in_background(load, images, options.workers, pending):
            if batch and not _same_size(batch[0], loaded):
                yield from self._predict_batch(batch)
                batch = []
            if isinstance(loaded, Outcome):
                yield loaded
                continue
            batch.append(loaded)
            if len(batch) == options.batch_size:
                yield from self._predict_batch(batch)
                batch = []
        if batch:
            yield from self._predict_batch(batch)

    def postprocess(
        self, preds: Sequence, visualization: object = None, return_datasample: bool = False
    ) -> list:
        """Turn predicted samples into results; part of mmengine's interface."""
        return list(preds) if return_datasample else [EntityResult.from_sample(s) for s in preds]

    def visualize(self, inputs: list, preds: Sequence[EntityResult], **kwargs: Any) -> list:
        """Draw results over their RGB images; part of mmengine's interface."""
        return [np.asarray(result.draw(image)) for image, result in zip(inputs, preds)]

    def read(self, image: InputImage, size: Optional[tuple[int, int]] = None) -> dict[str, Any]:
        """Read one image as the network gets it, without views.

        Args:
            image: What to read.
            size: As in :class:`LoadOptions`.

        Returns:
            ``img``, uint8 BGR ``(H0, W0, 3)``, and what the loader adds.
        """
        if image.error is not None:
            raise image.error
        results: dict[str, Any] = {'img_path': image.path, 'img_id': image.name}
        if image.content is None:
            results = self.loader(results)
        else:
            depth = getattr(self.loader, 'depth', 'auto')
            results['img'] = to_bgr(image.content, depth, image.place)
        if size is not None:
            # the arithmetic of the scripts that resize so, which is not Pillow's
            results['img'] = cv2.resize(results['img'], size[::-1], interpolation=cv2.INTER_NEAREST)
        return results

    def _load(self, image: InputImage, options: LoadOptions) -> Union[Loaded, Outcome]:
        """Load one image and make the views that the network sees."""
        try:
            results = self.read(image, options.size)
            height, width = results['img'].shape[:2]
            rgb = np.ascontiguousarray(results['img'][..., ::-1]) if options.keep_image else None
            if options.max_side is not None:
                shrunk = longest_side_size(height, width, options.max_side)
                results['img'] = resize_image(results['img'], *shrunk)
            results['ori_shape'] = results['img'].shape[:2]
            return Loaded(image, self.pipeline(results), (height, width), rgb)
        except Exception as error:
            return Outcome(image, error)

    def _predict_batch(self, batch: list[Loaded]) -> list[Outcome]:
        """Predict a batch; where it fails, its images one by one."""
        try:
            samples = self.forward(self.collate_fn([loaded.packed for loaded in batch]))
            return [
                _outcome(loaded, sample, self.classes) for loaded, sample in zip(batch, samples)
            ]
        except Exception as error:
            if len(batch) > 1:
                return [outcome for loaded in batch for outcome in self._predict_batch([loaded])]
            return [Outcome(batch[0].image, _sample_error(batch[0].image, error))]

    def _init_model(self, cfg: Config, weights: Optional[str], device: str = 'cpu') -> nn.Module:
        model = self._built
        if model is None:
            model = get_model(cfg, weights, device)
        elif weights is not None:
            load_weights(model, weights_file(weights, cfg))
        tasks = getattr(getattr(model, 'panoptic_fusion_head', None), 'tasks', ())
        if 'entity' not in tasks:
            raise ValueError(
                f'{cfg.filename or "the config"} predicts {", ".join(tasks) or "something"} and '
                'no entities; choose a config of entities or set model.test_cfg.entity_on=True'
            )
        return model.to(device).eval()

    def _init_pipeline(self, cfg: Config) -> Compose:
        """Split the test pipeline into reading a file and the rest."""
        steps = cfg.test_dataloader.dataset.pipeline if 'test_dataloader' in cfg else []
        types = [str(step['type']) for step in steps]
        loaders = [k for k, name in enumerate(types) if name.endswith(LOADERS)]
        if len(loaders) != 1:
            raise ValueError(
                f'the test pipeline of {cfg.filename or "the config"} has {len(loaders)} '
                'LoadImageFromFile, it needs one; see configs/_base_/datasets'
            )
        rest = [
            step
            for k, step in enumerate(steps)
            if k != loaders[0] and not (types[k].rpartition('.')[2].startswith('Load'))
        ]
        with DefaultScope.overwrite_default_scope(self.scope):
            self.loader = TRANSFORMS.build(steps[loaders[0]])
            return Compose(rest)

    def _init_collate(self, cfg: Config) -> Callable:
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> None:
        """Do without a visualizer: results draw themselves."""


def _config_of(model: Union[str, Path, Config, nn.Module]) -> Config:
    if isinstance(model, nn.Module):
        if not hasattr(model, 'cfg'):
            raise ValueError('the model has no config; set model.cfg, as mmdet does')
        return model.cfg
    if isinstance(model, (str, Path)):
        return get_config(model)
    return model if isinstance(model, Config) else Config(model)


def _same_size(one: Loaded, other: Union[Loaded, Outcome]) -> bool:
    if isinstance(other, Outcome):
        return False
    return one.packed['inputs'].shape[-2:] == other.packed['inputs'].shape[-2:]


def _outcome(loaded: Loaded, sample: DetDataSample, classes: Sequence[str]) -> Outcome:
    image = loaded.image
    result = EntityResult.from_sample(
        sample, image.name, path=image.path, frame=image.frame, classes=classes
    )
    return Outcome(image, replace(result.resize(*loaded.size), image=loaded.rgb))


def _sample_error(image: InputImage, error: Exception) -> SampleError:
    if is_out_of_memory(error):
        sample_error = SampleError(
            f'{image.place} does not fit into the memory ({error}); use a smaller --batch-size, '
            'another device, or --max-side',
            'too-large-for-memory',
        )
    else:
        reason = str(error) or type(error).__name__
        sample_error = SampleError(f'{image.place} cannot be predicted: {reason}', 'prediction')
    sample_error.__cause__ = error
    return sample_error
