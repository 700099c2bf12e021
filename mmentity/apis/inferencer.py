"""Prediction of entities from whatever a user has."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Optional, Union

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.infer import BaseInferencer
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image
from torch import nn

from mmentity.apis.inputs import Inputs, Picture, PictureLike, count, iterate, list_inputs, to_bgr
from mmentity.apis.models import read_config, usable_device
from mmentity.apis.result import EntityResult
from mmentity.apis.threads import map_ahead
from mmentity.converters import load_weights
from mmentity.datasets.errors import SampleError
from mmentity.utils.progress import show_progress

ON_ERROR = ('raise', 'skip')


@dataclass(frozen=True)
class Reading:
    """How pictures are read and grouped.

    Attributes:
        batch_size: Pictures that go through the network together. Only
            neighbours of the same padded size do, so that the result of a
            picture does not depend on the others.
        workers: Threads that read ahead; 0 reads when the network is idle.
        keep_image: Whether results carry the picture.
        size: Height and width to which a picture is resized by nearest
            neighbour before the network sees it.
    """

    batch_size: int = 1
    workers: int = 2
    keep_image: bool = False
    size: Optional[tuple] = None


class EntityInferencer(BaseInferencer):
    """Find the entities of pictures, in the way of mmdet's ``DetInferencer``.

    Args:
        model: Name of a shipped config (``'cropformer_hornet-l_3x'``), path of a
            config, config, or a built model that has its config as ``cfg``.
        weights: Checkpoint: trained here, converted, or of the official release.
            Without one the model is as random as it was built.
        device: Such as ``'cuda:0'``; the best that is there by default.
        show_progress: Whether to show a progress bar.

    Attributes:
        failures: Pairs of picture and reason of the last call with
            ``on_error='skip'``.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the weights do not fit, the device cannot be used, or the
            config has no test pipeline of mmentity or predicts no entities.

    Examples:
        >>> inferencer = EntityInferencer('cropformer_hornet-l_3x', 'CropFormer_hornet_3x_03823a.pth')
        >>> result = inferencer.predict('street.jpg')
        >>> for result in inferencer('frames/', batch_size=4, on_error='skip'):
        ...     print(result.name, len(result), result.entity_map.shape)
    """  # noqa: E501

    def __init__(
        self,
        model: Union[str, Path, Config, nn.Module],
        weights: Optional[Union[str, Path]] = None,
        device: Optional[str] = None,
        show_progress: bool = True,
    ) -> None:
        self.failures: list = []
        self._built = model if isinstance(model, nn.Module) else None
        if self._built is not None:
            if not hasattr(model, 'cfg'):
                raise ValueError('the model has no config; set model.cfg, as mmdet does')
            model = model.cfg
        elif isinstance(model, (str, Path)):
            model = read_config(model)
        elif not isinstance(model, Config):
            model = Config(model)
        device = usable_device(device or get_device())
        scope = model.get('default_scope', 'mmdet')
        super().__init__(
            model, None if weights is None else str(weights), device, scope, show_progress
        )

    def predict(self, picture: PictureLike, keep_image: bool = True) -> EntityResult:
        """Predict one picture.

        Args:
            picture: Path, array (uint8, BGR) or PIL picture.
            keep_image: Whether the result carries the picture, for drawing.

        Raises:
            SampleError: If the picture cannot be used.
            ValueError: If it is a folder, a video, or a glob of several.
        """
        listed = list_inputs([picture])
        if len(listed) > 1 or not isinstance(listed[0], Picture):
            raise ValueError(
                f'{picture} is more than one picture; go through it with inferencer(inputs)'
            )
        ((_, outcome),) = self.outcomes(listed, Reading(workers=0, keep_image=keep_image))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def __call__(
        self,
        inputs: Inputs,
        batch_size: int = 1,
        on_error: str = 'raise',
        workers: int = 2,
        keep_image: bool = False,
    ) -> Iterator[EntityResult]:
        """Predict pictures one after the other, as they are asked for.

        Pictures are read in the background while the network computes; a few
        wait at a time, so a folder of any size takes the same memory.

        Args:
            inputs: Path of a picture, video or folder, a glob, an array (uint8
                grey, BGR or BGRA), a PIL picture, or a list of these.
            batch_size: Neighbours of one size that go through the network together.
            on_error: At a picture that cannot be used ``'raise'``, or ``'skip'``
                it: it is logged and listed in :attr:`failures`.
            workers: Threads that read; 0 reads when the network is idle.
            keep_image: Whether results carry the picture, for drawing.

        Yields:
            Results in the order of the inputs; files of a folder in natural order.

        Raises:
            FileNotFoundError: If an input does not exist or holds no picture.
            SampleError: If a picture cannot be used and ``on_error`` is ``'raise'``.
            ValueError: If an argument is none of the above.
        """
        if on_error not in ON_ERROR:
            raise ValueError(f'on_error is {on_error!r}; it must be one of {", ".join(ON_ERROR)}')
        if batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}; it must be at least 1')
        listed = list_inputs(inputs)
        reading = Reading(batch_size, workers, keep_image)
        self.failures = []
        return self._results(listed, reading, on_error)

    def _results(self, listed: list, reading: Reading, on_error: str) -> Iterator[EntityResult]:
        outcomes = self.outcomes(iterate(listed), reading)
        if self.show_progress:
            outcomes = show_progress(outcomes, count(listed))
        for picture, outcome in outcomes:
            if not isinstance(outcome, Exception):
                yield outcome
            elif on_error == 'raise':
                raise outcome
            else:
                self.failures.append((picture, str(outcome)))
                MMLogger.get_current_instance().warning(f'left out {picture.name}: {outcome}')

    def outcomes(self, pictures: Iterable[Picture], reading: Reading) -> Iterator[tuple]:
        """Predict pictures; one that fails does not stop the others.

        Args:
            pictures: Pictures, not read yet.
            reading: How they are read and grouped.

        Yields:
            Picture, and its :class:`EntityResult` or the exception.
        """
        read = partial(self._read, size=reading.size, keep_image=reading.keep_image)
        ahead = reading.batch_size + reading.workers
        batch = []
        for picture, future in map_ahead(read, pictures, reading.workers, ahead):
            error = future.exception()
            data = None if error else future.result()
            if batch and (error or not _same_size(batch[0][1], data)):
                yield from self._predict_batch(batch)
                batch = []
            if error:
                yield picture, error
                continue
            batch.append((picture, data))
            if len(batch) == reading.batch_size:
                yield from self._predict_batch(batch)
                batch = []
        if batch:
            yield from self._predict_batch(batch)

    def postprocess(
        self, preds: Sequence, visualization: object = None, return_datasample: bool = False
    ) -> list:
        """Turn predicted samples into results; part of mmengine's interface."""
        return list(preds) if return_datasample else [EntityResult.from_sample(s) for s in preds]

    def visualize(self, inputs: list, preds: Sequence[EntityResult], **kwargs) -> list:
        """Draw results over their RGB pictures; part of mmengine's interface."""
        return [np.asarray(result.draw(image)) for image, result in zip(inputs, preds)]

    def _read(self, picture: Picture, size: Optional[tuple], keep_image: bool) -> dict:
        """Read one picture and make the views that the network sees."""
        if picture.error is not None:
            raise picture.error
        results = {'img_path': picture.path, 'img_id': picture.name}
        if picture.content is None:
            results = self.loader(results)
        else:
            results['img'] = to_bgr(picture.content)
        if size is not None:
            rgb = Image.fromarray(results['img']).resize(size[::-1], Image.NEAREST)
            results['img'] = np.asarray(rgb)
        results['ori_shape'] = results['img'].shape[:2]
        image = np.ascontiguousarray(results['img'][..., ::-1]) if keep_image else None
        return {'packed': self.pipeline(results), 'image': image}

    def _predict_batch(self, batch: list) -> list:
        """Predict a batch; where it fails, its pictures one by one."""
        try:
            samples = self.forward(self.collate_fn([data['packed'] for _, data in batch]))
            return [
                (picture, self._result(picture, data['image'], sample))
                for (picture, data), sample in zip(batch, samples)
            ]
        except (RuntimeError, ValueError, MemoryError) as error:
            if len(batch) > 1:
                return [outcome for single in batch for outcome in self._predict_batch([single])]
            return [(batch[0][0], _sentence(batch[0][0], error))]

    @staticmethod
    def _result(picture: Picture, image: Optional[np.ndarray], sample: object) -> EntityResult:
        return EntityResult.from_sample(
            sample, picture.name, path=picture.path, frame=picture.frame, image=image
        )

    def _init_model(self, cfg: Config, weights: Optional[str], device: str = 'cpu') -> nn.Module:
        model = self._built
        if model is None:
            with DefaultScope.overwrite_default_scope(self.scope):
                model = MODELS.build(cfg.model)
            model.cfg = cfg
        if weights is not None:
            load_weights(model, weights)
        elif self._built is None:
            MMLogger.get_current_instance().warning(
                'no weights are given: the model is random, and so are its entities'
            )
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
        loaders = [k for k, name in enumerate(types) if name.endswith('LoadEntityImage')]
        if len(loaders) != 1:
            raise ValueError(
                f'the test pipeline of {cfg.filename or "the config"} has {len(loaders)} '
                'mmentity.LoadEntityImage, it needs one; see configs/_base_/datasets'
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


def _same_size(one: dict, other: dict) -> bool:
    return one['packed']['inputs'].shape[-2:] == other['packed']['inputs'].shape[-2:]


def _sentence(picture: Picture, error: Exception) -> Exception:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return SampleError(
            f'{picture.path or picture.name} does not fit into the memory ({error}); use a '
            'smaller --batch-size, another device, or resize it first'
        )
    return SampleError(f'{picture.path or picture.name} cannot be predicted: {error}')
