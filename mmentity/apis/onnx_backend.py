"""Prediction with an exported network, in ONNX Runtime, NumPy and Pillow alone."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mmentity.apis.class_names import ENTITY
from mmentity.apis.inputs import to_bgr
from mmentity.apis.sources import InputImage
from mmentity.datasets.errors import SampleError
from mmentity.datasets.images import decode_bgr
from mmentity.datasets.rules import decoding_image
from mmentity.deploy.fusion import fuse_entities
from mmentity.deploy.runtime import OnnxGraph, is_out_of_memory
from mmentity.deploy.views import GraphInput, make_views
from mmentity.structures.prediction import Prediction
from mmentity.utils.files import sha256_of


class OnnxBackend:
    """A network that ``mmentity export`` wrote.

    Args:
        path: The ``.onnx`` file.
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:1'``; the best that the installed ONNX Runtime has.
        depth: Bits that 16-bit images use, as of
            :class:`mmentity.datasets.transforms.LoadEntityImage`.

    Attributes:
        graph: The network.
        origin: Config and digest, for the record of a run.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If ONNX Runtime is not installed.
        ValueError: If the file or the device cannot be used.
    """

    # the files are of float32, whatever their weights are stored in
    precision = 'fp32'
    takes_boxes = False
    has_features = False

    def __init__(
        self, path: Union[str, Path], device: Optional[str] = None, depth: str = 'auto'
    ) -> None:
        self.graph = OnnxGraph(path, device)
        self.depth = depth
        info = self.graph.info
        self.origin: dict[str, Any] = {
            'config': info.config,
            'config_sha256': info.config_sha256,
        }

    @property
    def device(self) -> str:
        """Where the network runs."""
        return self.graph.device

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label."""
        return tuple(self.graph.info.classes) or ENTITY

    def read(self, image: InputImage) -> np.ndarray:
        """Read an image as the shipped configs do, uint8 BGR ``(H0, W0, 3)``."""
        if image.content is not None:
            return to_bgr(image.content, self.depth, image.place)
        path = str(image.path)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise SampleError(f'{path} cannot be read ({error})', 'missing-image') from error
        with decoding_image(path):
            return decode_bgr(data, path, self.depth)

    def pack(self, img: np.ndarray, image: InputImage) -> GraphInput:
        """Make the views of an image."""
        return make_views(img, self.graph.info)

    def size_of(self, packed: GraphInput) -> Hashable:
        """Return the size of the graph, which all images have."""
        return self.graph.info.size

    def predict(self, batch: Sequence[GraphInput]) -> list[Prediction]:
        """Predict images, one after the other: a graph takes one."""
        return [fuse_entities(*self.graph(given.views), given, self.graph.info) for given in batch]

    def weights_digest(self) -> str:
        """Digest the file."""
        return sha256_of(self.graph.path)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that memory ran out."""
        return is_out_of_memory(error)
