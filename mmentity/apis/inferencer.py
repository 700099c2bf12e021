"""Prediction of the entities of files, folders, videos and arrays."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

import numpy as np
from numpy.typing import ArrayLike

from mmentity.apis.backend import Backend
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
)
from mmentity.apis.result import EntityResult
from mmentity.apis.threads import map_in_background
from mmentity.datasets.errors import SampleError
from mmentity.datasets.geometry import longest_side_size, resize_image
from mmentity.deploy.runtime import SUFFIX
from mmentity.structures.prediction import Prediction
from mmentity.utils.dependencies import check_dependencies, import_opencv
from mmentity.utils.files import printable
from mmentity.utils.logs import get_logger

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn

ON_ERROR = ('raise', 'skip')


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
    """One image as the backend packs it.

    Attributes:
        image: Where it is from.
        packed: What the network takes.
        size: Height and width in px that its map gets.
        rgb: uint8 RGB of that size, if kept.
    """

    image: InputImage
    packed: Any
    size: tuple[int, int]
    rgb: Optional[np.ndarray]


class Outcome(NamedTuple):
    """What became of one image: its entities, or the error."""

    image: InputImage
    result: Union[EntityResult, Exception]


class EntityInferencer:
    """Find the entities of images, in the way of mmdet's ``DetInferencer``.

    Args:
        model: Name of a shipped config (``'cropformer_hornet-l_3x'``), path of a
            config, config, or a built model that has its config as ``cfg``; or the ``.onnx``
            file of an exported one, which has its weights and needs no PyTorch; or a backend.
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
        views: Rows and columns of crops that the network is given besides the whole image,
            such as ``'3x3'``; 2 x 2 by default, with which CropFormer is tested.
        view_overlap: Part of a crop's side that it shares with its neighbour, 0 to below 1.
        features: Whether results have a feature for each entity, see
            :class:`mmentity.apis.per_entity.EntityFeatures`; masks stay as they are.

    Attributes:
        backend: What runs the network.
        show_progress: Whether to show a progress bar.
        failures: Pairs of image and reason of the last call with
            ``on_error='skip'``.
        progress_label: What the progress bar says.

    Raises:
        FileNotFoundError: If there is no such config, checkpoint or file.
        ImportError: If what the model needs is not installed.
        ValueError: If the weights do not fit, the device cannot be used, there is no
            compiler, the precision is none of the above, or the config has no test pipeline of mmentity, cuts no crops where
            ``crops``, ``views`` or ``view_overlap`` is given, or predicts no entities.

    Examples:
        >>> inferencer = EntityInferencer('cropformer_hornet-l_3x', 'CropFormer_hornet_3x_03823a.pth')
        >>> result = inferencer.predict('street.jpg')
        >>> results = inferencer(['street.jpg', 'square.jpg'])
        >>> for result in inferencer.stream('frames/', batch_size=4, on_error='skip'):
        ...     print(result.name, len(result), result.entity_map.shape)
    """  # noqa: E501

    def __init__(
        self,
        model: Union[str, Path, 'Config', 'nn.Module', Backend],
        weights: Optional[Union[str, Path]] = None,
        device: Optional[str] = None,
        show_progress: bool = True,
        precision: Optional[str] = None,
        compile: bool = False,
        crops: Optional[int] = None,
        views: Optional[Union[str, Sequence[int]]] = None,
        view_overlap: Optional[float] = None,
        features: bool = False,
    ) -> None:
        self.backend = _backend_of(
            model, weights, device, precision, compile, crops, views, view_overlap, features
        )
        self.show_progress = show_progress
        self.failures: list[tuple[InputImage, str]] = []
        compiling = ' (the first ones wait for the compiler)' if compile else ''
        self.progress_label = f'images{compiling}'

    @property
    def device(self) -> Any:
        """Where the network runs."""
        return self.backend.device

    @property
    def precision(self) -> str:
        """Precision in which the network runs: the one asked for, or fp32."""
        return self.backend.precision

    @property
    def origin(self) -> dict[str, Any]:
        """Config and digest of what decides about results, for the record of a run."""
        return self.backend.origin

    @property
    def model(self) -> 'nn.Module':
        """The detector, where PyTorch runs it."""
        return self.backend.model  # type: ignore[attr-defined]  # an exported file has none

    @property
    def cfg(self) -> 'Config':
        """Its config, where PyTorch runs it."""
        return self.backend.cfg  # type: ignore[attr-defined]  # an exported file has none

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label; of a model that knows none, ``('entity',)``."""
        return self.backend.classes

    @property
    def has_features(self) -> bool:
        """Whether results have a feature for each entity."""
        return self.backend.has_features

    def predict(
        self,
        image: ImageLike,
        keep_image: bool = True,
        max_side: Optional[int] = None,
        size: Optional[tuple[int, int]] = None,
        boxes: Optional[ArrayLike] = None,
    ) -> EntityResult:
        """Predict one image.

        Args:
            image: Path, array (uint8, BGR), PIL image or bytes of a file.
            keep_image: Whether the result carries the image, for drawing.
            max_side: As of :class:`LoadOptions`.
            size: As of :class:`LoadOptions`.
            boxes: What CropFormer looks at closely besides the whole image, in place of
                its crops: int ``(N, 4)`` xyxy px, right and bottom exclusive.

        Raises:
            FileNotFoundError: If it does not exist.
            SampleError: If the image cannot be used.
            ValueError: If it is a folder, a video, or a glob of several; if a box is not
                inside of the image, or the model sees the whole image only.
        """
        if boxes is not None and not self.backend.takes_boxes:
            raise ValueError(
                f'boxes are given to {self.origin["config"] or "a model"}, which sees the whole '
                'image only, or is exported with its views; choose a config of CropFormer'
            )
        first, *others = expand([image])
        if others or not isinstance(first, InputImage):
            given = image if isinstance(image, (str, Path)) else type(image).__name__
            raise ValueError(
                f'{given} is more than one image; go through it with inferencer.stream(inputs)'
            )
        if boxes is not None:
            if size is not None or max_side is not None:
                raise ValueError(
                    'boxes are in px of the image; give them without size and max_side'
                )
            first = replace(first, crop_boxes=np.asarray(boxes))
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
        sources: Iterable[Source] = expand(inputs, listing)
        total = None
        if is_single(inputs) or isinstance(inputs, Sequence):
            # all is there already, so that it can be counted
            sources = list(sources)
            total = count(sources) if self.show_progress else None
        self.failures = []
        options = LoadOptions(batch_size, workers, keep_image, max_side=max_side)
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
            from mmentity.utils.progress import show_progress

            outcomes = show_progress(outcomes, total, self.progress_label)
        for image, result in outcomes:
            if not isinstance(result, Exception):
                yield result
            elif on_error == 'raise':
                raise result
            else:
                reason = printable(str(result))
                self.failures.append((image, reason))
                get_logger().warning(f'skipped {printable(image.name)}: {reason}')

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
            if batch and not self._same_size(batch[0], loaded):
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

    def read(self, image: InputImage, size: Optional[tuple[int, int]] = None) -> np.ndarray:
        """Read one image as the network gets it, without views.

        Args:
            image: What to read.
            size: As in :class:`LoadOptions`.

        Returns:
            uint8 BGR ``(H0, W0, 3)``.
        """
        if image.error is not None:
            raise image.error
        img = self.backend.read(image)
        if size is None:
            return img
        # the arithmetic of the scripts that resize so, which is not Pillow's
        cv2 = import_opencv('images that are resized first')
        return cv2.resize(img, size[::-1], interpolation=cv2.INTER_NEAREST)

    def _load(self, image: InputImage, options: LoadOptions) -> Union[Loaded, Outcome]:
        """Load one image and make the views that the network sees."""
        try:
            img = self.read(image, options.size)
            height, width = img.shape[:2]
            rgb = np.ascontiguousarray(img[..., ::-1]) if options.keep_image else None
            if options.max_side is not None:
                img = resize_image(img, *longest_side_size(height, width, options.max_side))
            return Loaded(image, self.backend.pack(img, image), (height, width), rgb)
        except Exception as error:
            return Outcome(image, error)

    def _predict_batch(self, batch: list[Loaded]) -> list[Outcome]:
        """Predict a batch; where it fails, its images one by one."""
        try:
            predictions = self.backend.predict([loaded.packed for loaded in batch])
            return [_outcome(*pair, self.classes) for pair in zip(batch, predictions)]
        except Exception as error:
            if len(batch) > 1:
                return [outcome for loaded in batch for outcome in self._predict_batch([loaded])]
            return [Outcome(batch[0].image, self._sample_error(batch[0].image, error))]

    def _same_size(self, one: Loaded, other: Union[Loaded, Outcome]) -> bool:
        if isinstance(other, Outcome):
            return False
        return self.backend.size_of(one.packed) == self.backend.size_of(other.packed)

    def _sample_error(self, image: InputImage, error: Exception) -> SampleError:
        if self.backend.is_out_of_memory(error):
            sample_error = SampleError(
                f'{image.place} does not fit into the memory ({error}); use a smaller '
                '--batch-size, another device, or --max-side',
                'too-large-for-memory',
            )
        else:
            reason = str(error) or type(error).__name__
            sample_error = SampleError(f'{image.place} cannot be predicted: {reason}', 'prediction')
        sample_error.__cause__ = error
        return sample_error


def _backend_of(
    model: Any,
    weights: Optional[Union[str, Path]],
    device: Optional[str],
    precision: Optional[str],
    compile: bool,
    crops: Optional[int],
    views: Optional[Union[str, Sequence[int]]],
    view_overlap: Optional[float],
    features: bool,
) -> Backend:
    """Choose what runs a model."""
    if not is_exported_file(model):
        # one of the user's own
        if hasattr(model, 'pack'):
            if features and not model.has_features:
                raise ValueError(f'features: {type(model).__name__} gives none; leave it out')
            return model
        # says what is missing, where the import of the next line would say something else
        check_dependencies()
        from mmentity.apis.torch_backend import TorchBackend

        return TorchBackend(
            model, weights, device, precision, compile, crops, views, view_overlap, features
        )
    from mmentity.apis.onnx_backend import OnnxBackend

    given = {
        'weights': weights is not None,
        'precision': precision not in (None, 'fp32'),
        'compile': compile,
        'crops': crops is not None,
        'views': views is not None,
        'view_overlap': view_overlap is not None,
        'features': features,
    }
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong:
        raise ValueError(
            f'{", ".join(wrong)}: {model} is an exported network, which has its weights, '
            'views and precision; leave it out, or give the config in place of the file'
        )
    return OnnxBackend(model, device)


def is_exported_file(model: Any) -> bool:
    """Whether a model is named by the file of an exported network."""
    return isinstance(model, (str, Path)) and str(model).lower().endswith(SUFFIX)


def _outcome(loaded: Loaded, prediction: Prediction, classes: Sequence[str]) -> Outcome:
    image = loaded.image
    result = EntityResult.from_prediction(
        prediction, image.name, path=image.path, frame=image.frame, classes=classes
    )
    return Outcome(image, replace(result.resize(*loaded.size), image=loaded.rgb))
