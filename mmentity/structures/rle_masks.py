"""Masks in COCO's run-length encoding, in the form that OpenMMLab's tools take as masks."""

from collections.abc import Iterator, Sequence
from typing import Any, Union, overload

import numpy as np
import torch
from numpy.typing import DTypeLike
from pycocotools import mask as mask_utils
from torch import Tensor

from mmentity.structures.rle import Rle


class RleMask(dict):
    """One mask in COCO's RLE whose pixels can be read by index too.

    ``mask['size']`` and ``mask['counts']`` are the encoding, which pycocotools and
    json take as it is; ``mask[:, :, None]`` and other indices read pixels of the decoded
    mask, bool ``(H, W)``, as mmdet's ``encode_mask_results`` does.
    """

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.decode()[key]

    def decode(self) -> np.ndarray:
        """Decode to bool ``(H, W)``."""
        return mask_utils.decode(self).astype(bool)


class RleMasks(Sequence[RleMask]):
    """Masks of the instances of one image as RLE, decoded where somebody asks for pixels.

    mmdet's metrics read it as a list of RLE, its ``DumpDetResults`` and visualizer as an
    array, and mmengine's ``InstanceData`` indexes and joins it. It is no ``list``, since
    mmengine makes plain lists of those, which have no ``numpy``; pycocotools wants one:
    ``masks.rles``.

    Args:
        rles: Encoding of each mask.
        height: Height of the image, px.
        width: Width of the image, px.

    Examples:
        >>> masks = RleMasks([{'size': [2, 2], 'counts': b'13'}], 2, 2)
        >>> masks.numpy().shape
        (1, 2, 2)
    """

    def __init__(self, rles: Sequence[Union[Rle, RleMask]], height: int, width: int) -> None:
        self.rles = [RleMask(rle) for rle in rles]
        self.height = height
        self.width = width

    def __len__(self) -> int:
        return len(self.rles)

    def __iter__(self) -> Iterator[RleMask]:
        return iter(self.rles)

    @overload
    def __getitem__(self, index: int) -> RleMask: ...
    @overload
    def __getitem__(self, index: slice) -> 'RleMasks': ...
    def __getitem__(self, index: Union[int, slice]) -> Union[RleMask, 'RleMasks']:
        found = self.rles[index]
        return RleMasks(found, self.height, self.width) if isinstance(found, list) else found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RleMasks) and self.rles == other.rles

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f'RleMasks({len(self)} masks of {self.height}x{self.width} px)'

    @staticmethod
    def cat(several: Sequence['RleMasks']) -> 'RleMasks':
        """Join masks of the same image."""
        rles = [rle for masks in several for rle in masks]
        return RleMasks(rles, several[0].height, several[0].width)

    def numpy(self) -> np.ndarray:
        """Decode to bool ``(N, H, W)``."""
        if not self.rles:
            return np.zeros((0, self.height, self.width), dtype=bool)
        return mask_utils.decode(self.rles).transpose(2, 0, 1).astype(bool)

    def astype(self, dtype: DTypeLike) -> np.ndarray:
        """Decode to an array ``(N, H, W)`` of a type."""
        return self.numpy().astype(dtype, copy=False)

    def cpu(self) -> Tensor:
        """Decode to a bool tensor ``(N, H, W)``."""
        return torch.from_numpy(self.numpy())
