"""An exported file against the model that it was made of."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mmentity.deploy.export import Exported, Network
from mmentity.deploy.runtime import OnnxGraph

# largest median of the differences of logits: rounding may switch positions of attention masks,
# which moves a few of them by more
LARGEST = {'fp32': 1e-3, 'half': 5e-2}


class Difference(NamedTuple):
    """How far logits of a file are from PyTorch's, over one drawn image.

    Attributes:
        class_median: Median of the absolute difference of class logits.
        class_largest: The largest.
        mask_median: The same of mask logits.
        mask_largest: The same of mask logits.
        limit: What the medians must not exceed.
    """

    class_median: float
    class_largest: float
    mask_median: float
    mask_largest: float
    limit: float

    @property
    def is_small(self) -> bool:
        """Whether the file computes what the model does."""
        # a comparison that is not a number is no equality
        return self.class_median <= self.limit and self.mask_median <= self.limit

    def describe(self) -> str:
        """Say it in one line."""
        verdict = 'equal' if self.is_small else 'DIFFERENT'
        return (
            f'{verdict}: class logits differ by {self.class_median:.1e} (median), '
            f'{self.class_largest:.1e} (largest), mask logits by {self.mask_median:.1e}, '
            f'{self.mask_largest:.1e}; the medians may be {self.limit:g}'
        )


def compare(model: nn.Module, exported: Exported) -> Difference:
    """Run a model and the file that was made of it over the same drawn views.

    Raises:
        ImportError: If the file needs ONNX Runtime and there is none.
    """
    info = exported.info
    views = _drawn_views((1, info.num_views, 3, *info.size))
    with torch.no_grad():
        expected = [logits[0].numpy() for logits in Network(model)(torch.from_numpy(views))]
        if exported.path.suffix == '.onnx':
            given = list(OnnxGraph(exported.path, 'cpu')(views))
        else:
            program = torch.export.load(str(exported.path)).module()
            given = [logits[0].numpy() for logits in program(torch.from_numpy(views))]
    (class_median, class_largest), (mask_median, mask_largest) = (
        (float(np.median(difference)), float(difference.max()))
        for difference in (np.abs(ours - theirs) for ours, theirs in zip(given, expected))
    )
    limit = LARGEST['half' if info.half else 'fp32']
    return Difference(class_median, class_largest, mask_median, mask_largest, limit)


def _drawn_views(shape: tuple[int, ...]) -> np.ndarray:
    """Squares of random colours, normalised, float32."""
    rng = np.random.default_rng(0)
    cells = rng.standard_normal((*shape[:-2], -(-shape[-2] // 16), -(-shape[-1] // 16)))
    views = cells.repeat(16, axis=-2).repeat(16, axis=-1)[..., : shape[-2], : shape[-1]]
    return np.ascontiguousarray(views, dtype=np.float32)
