"""What runs a network: PyTorch, or ONNX Runtime for an exported one."""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import numpy as np

from mmentity.apis.sources import InputImage
from mmentity.structures.prediction import Prediction


class Backend(Protocol):
    """What :class:`mmentity.apis.EntityInferencer` asks of it; threads load, one predicts."""

    # bits that 16-bit images use, as of the loader of the config, or 'auto'
    depth: str

    @property
    def origin(self) -> dict[str, Any]:
        """What made the results, for the record of a run: ``config`` and ``config_sha256``."""

    @property
    def device(self) -> Any:
        """Where the network runs."""

    @property
    def precision(self) -> str:
        """Precision in which the network runs."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label."""

    @property
    def has_features(self) -> bool:
        """Whether predictions have features of entities."""

    @property
    def takes_boxes(self) -> bool:
        """Whether an image may come with ``crop_boxes``, in place of its crops."""

    def read(self, image: InputImage) -> np.ndarray:
        """Read an image, uint8 BGR ``(H0, W0, 3)``.

        Raises:
            SampleError: If it cannot be used.
        """

    def pack(self, img: np.ndarray, image: InputImage) -> Any:
        """Make the views that the network sees of an image as it was read."""

    def size_of(self, packed: Any) -> Hashable:
        """Return what must be the same for images that go through the network together."""

    def predict(self, batch: Sequence[Any]) -> list[Prediction]:
        """Predict images that were packed, all of one size."""

    def weights_digest(self) -> str:
        """Digest the weights in use."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that memory ran out."""
