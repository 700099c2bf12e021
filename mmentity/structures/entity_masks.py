"""Entities of one image as mmdet's transforms and models know them."""

from collections.abc import Iterator, Sequence
from typing import Any, Optional, Union

import mmcv
import numpy as np
import torch
from mmcv.ops.roi_align import roi_align
from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes, get_box_type
from mmdet.structures.mask import BitmapMasks
from mmdet.structures.mask.structures import BaseInstanceMasks
from torch import Tensor

from mmentity.structures.entity_map import EntityMap

# height and width in px
Shape = Sequence[int]
Index = Union[int, slice, np.ndarray, Sequence[int], Tensor]


class EntityMasks(BaseInstanceMasks):
    """An :class:`EntityMap` in the place of mmdet's ``BitmapMasks``.

    ``gt_masks`` of a pipeline, so that the transforms of mmdet move the entities
    together with the image. One map is flipped, cropped or resized, whatever the
    number of entities. Ids cannot be interpolated, so every method that resamples
    takes the nearest pixel; resizing uses Pillow's arithmetic, as
    :class:`mmentity.datasets.transforms.ResizeViews` does.

    Args:
        entities: The entities.
        annotated_areas: Area of each entity as annotated, float ``(K,)`` px. It
            follows selections and stays where no pixel is lost or resampled (flip,
            pad, expand); after other methods areas are those of the map.
        loaded_boxes: Boxes ``(K, 4)`` xyxy px that were loaded with the entities; until
            the first method changes the entities they must stay as they are.

    Examples:
        >>> import numpy as np
        >>> masks = EntityMasks(EntityMap(np.array([[0, 1], [2, 2]])))
        >>> masks.flip('vertical')[[1]].to_ndarray().tolist()
        [[[1, 1], [0, 0]]]
    """

    def __init__(
        self,
        entities: EntityMap,
        annotated_areas: Optional[np.ndarray] = None,
        loaded_boxes: Optional[np.ndarray] = None,
    ) -> None:
        self.entities = entities
        self.loaded_boxes = loaded_boxes
        self._annotated_areas = annotated_areas

    @classmethod
    def of(cls, masks: BaseInstanceMasks) -> 'EntityMasks':
        """Convert masks of another kind, as mmdet's loaders and mixing transforms make them."""
        if isinstance(masks, cls):
            return masks
        bitmaps = np.asarray(masks.to_ndarray()).reshape(-1, masks.height, masks.width)
        return cls(EntityMap.from_masks(bitmaps))

    @property
    def height(self) -> int:
        """Height in px."""
        return self.entities.height

    @property
    def width(self) -> int:
        """Width in px."""
        return self.entities.width

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each entity, int64 ``(K,)``."""
        return self.entities.areas

    @property
    def annotated_areas(self) -> np.ndarray:
        """Area of each entity as annotated, or else its pixels, float64 ``(K,)``."""
        areas = self.areas if self._annotated_areas is None else self._annotated_areas
        return np.asarray(areas, dtype=np.float64)

    @property
    def masks(self) -> np.ndarray:
        """One mask for each entity, uint8 ``(K, H, W)``; what is written into it is kept.

        ``O(KHW)``: only for transforms that read or write this attribute of
        ``BitmapMasks``, such as ``CopyPaste`` and ``RandomErasing``.
        """
        bitmaps = self.to_ndarray().view(_Bitmaps)
        bitmaps.owner = self
        return bitmaps

    @masks.setter
    def masks(self, bitmaps: np.ndarray) -> None:
        self.entities = EntityMap.from_masks(bitmaps)
        self.loaded_boxes = self._annotated_areas = None

    def __len__(self) -> int:
        return self.entities.num_entities

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.to_ndarray())

    def __repr__(self) -> str:
        return f'EntityMasks({self.entities!r})'

    def __getitem__(self, index: Index) -> 'EntityMasks':
        """Select entities by number, in any order, or by a boolean ``(K,)``."""
        chosen = np.arange(len(self))[np.asarray(index) if isinstance(index, Tensor) else index]
        chosen = np.atleast_1d(chosen)
        if np.array_equal(chosen, np.arange(len(self))):
            return self
        areas = self._annotated_areas
        return EntityMasks(self._take(chosen), None if areas is None else areas[chosen])

    def _take(self, chosen: np.ndarray) -> EntityMap:
        """Number the chosen entities from 1 on; those chosen twice get a further layer."""
        layers: list[np.ndarray] = []
        left = np.arange(len(chosen))
        while len(left) or not layers:
            firsts = np.unique(chosen[left], return_index=True)[1]
            numbers = np.zeros(len(self), dtype=np.int32)
            numbers[chosen[left[firsts]]] = left[firsts] + 1
            layers.append(self.entities.renumber(numbers))
            left = np.delete(left, firsts)
        return EntityMap(np.concatenate(layers), len(chosen))

    def flip(self, flip_direction: str = 'horizontal') -> 'EntityMasks':
        """Mirror left and right, top and bottom, or both (``'diagonal'``)."""
        ids = self.entities.ids
        if flip_direction not in ('horizontal', 'vertical', 'diagonal'):
            raise ValueError(f'entities cannot be flipped {flip_direction!r}')
        if flip_direction != 'vertical':
            ids = ids[:, :, ::-1]
        if flip_direction != 'horizontal':
            ids = ids[:, ::-1]
        return EntityMasks(self.entities.with_ids(ids), self._annotated_areas)

    def rescale(
        self, scale: Union[float, tuple[int, int]], interpolation: str = 'nearest'
    ) -> 'EntityMasks':
        """Resize as large as fits into ``scale``, or by that factor; see ``mmcv.rescale_size``."""
        width, height = mmcv.rescale_size((self.width, self.height), scale)
        return self.resize((height, width))

    def resize(self, out_shape: Shape, interpolation: str = 'nearest') -> 'EntityMasks':
        """Resize to ``(height, width)``, whatever the interpolation to the nearest pixel."""
        return EntityMasks(self.entities.resize(int(out_shape[0]), int(out_shape[1])))

    def crop(self, bbox: np.ndarray) -> 'EntityMasks':
        """Cut out a box xyxy px, as far as it is in the image and at least one px."""
        x0, y0, x1, y1 = (int(v) for v in bbox)
        x0, x1 = (min(max(x, 0), self.width) for x in (x0, x1))
        y0, y1 = (min(max(y, 0), self.height) for y in (y0, y1))
        return EntityMasks(self.entities.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))))

    def pad(self, out_shape: Shape, pad_val: int = 0) -> 'EntityMasks':
        """Pad to ``(height, width)`` with no entity, at the right and bottom."""
        _check_border(pad_val)
        return self.expand(int(out_shape[0]), int(out_shape[1]), 0, 0)

    def expand(self, expanded_h: int, expanded_w: int, top: int, left: int) -> 'EntityMasks':
        """Place the image on a larger one, in px."""
        ids = self.entities.ids
        expanded = np.zeros((len(ids), expanded_h, expanded_w), dtype=ids.dtype)
        expanded[:, top : top + self.height, left : left + self.width] = ids
        return EntityMasks(self.entities.with_ids(expanded), self._annotated_areas)

    def crop_and_resize(
        self,
        bboxes: Union[np.ndarray, Tensor],
        out_shape: tuple[int, int],
        inds: Union[np.ndarray, Tensor],
        device: Union[str, torch.device] = 'cpu',
        interpolation: str = 'bilinear',
        binarize: bool = True,
    ) -> BitmapMasks:
        """Cut each box out of the mask of its entity, as targets of mask heads.

        Args:
            bboxes: Boxes xyxy px, float ``(N, 4)``.
            out_shape: Height and width of the results in px.
            inds: Entity of each box, int ``(N,)``.
            device: Where to compute.
            interpolation: Ignored, as in ``BitmapMasks``.
            binarize: Whether values are rounded to 0 and 1.
        """
        rois = torch.as_tensor(bboxes, device=device)
        rois = torch.cat([rois.new_zeros(len(rois), 1), rois], dim=1)
        entity_of = torch.as_tensor(inds, device=device).long()
        targets = rois.new_zeros((len(rois), *out_shape))
        ids = torch.from_numpy(np.ascontiguousarray(self.entities.ids)).to(device)
        for k in entity_of.unique().tolist():
            mask = (ids == k + 1).any(dim=0).to(rois.dtype)[None, None]
            of_entity = entity_of == k
            aligned = roi_align(mask, rois[of_entity], out_shape, 1.0, 0, 'avg', True)
            targets[of_entity] = aligned.squeeze(1)
        bitmaps = targets >= 0.5 if binarize else targets
        return BitmapMasks(bitmaps.cpu().numpy(), *out_shape)

    def translate(
        self,
        out_shape: Shape,
        offset: float,
        direction: str = 'horizontal',
        border_value: int = 0,
        interpolation: str = 'bilinear',
    ) -> 'EntityMasks':
        """Bring to ``(height, width)`` at the right and bottom, then move by ``offset`` px."""
        _check_border(border_value)
        height, width = int(out_shape[0]), int(out_shape[1])
        ids, shift = self.entities.ids, int(np.floor(offset + 0.5))
        moved = np.zeros((len(ids), height, width), dtype=ids.dtype)
        axis = 2 if direction == 'horizontal' else 1
        source = np.moveaxis(ids[:, :height, :width], axis, 0)
        target = np.moveaxis(moved, axis, 0)[:, :, : source.shape[2]]
        first, last = max(0, shift), min(len(target), len(source) + shift)
        if first < last:
            target[first:last] = source[first - shift : last - shift]
        return EntityMasks(self.entities.with_ids(moved))

    def shear(
        self,
        out_shape: Shape,
        magnitude: float,
        direction: str = 'horizontal',
        border_value: int = 0,
        interpolation: str = 'bilinear',
    ) -> 'EntityMasks':
        """Shear as ``mmcv.imshear`` does."""
        _check_border(border_value)
        return self._warp(lambda ids: mmcv.imshear(ids, magnitude, direction, 0, 'nearest'))

    def rotate(
        self,
        out_shape: Shape,
        angle: float,
        center: Optional[tuple[float, float]] = None,
        scale: float = 1.0,
        border_value: int = 0,
        interpolation: str = 'bilinear',
    ) -> 'EntityMasks':
        """Rotate as ``mmcv.imrotate`` does, ``angle`` in degrees."""
        _check_border(border_value)
        return self._warp(
            lambda ids: mmcv.imrotate(
                ids, angle, center=center, scale=scale, interpolation='nearest'
            )
        )

    def _warp(self, warp: Any) -> 'EntityMasks':
        # OpenCV does not warp int32
        dtype = np.uint16 if len(self) <= np.iinfo(np.uint16).max else np.float32
        layers = [warp(layer.astype(dtype)).astype(np.int32) for layer in self.entities.ids]
        return EntityMasks(self.entities.with_ids(np.stack(layers)))

    def to_ndarray(self) -> np.ndarray:
        """Return one mask for each entity, uint8 ``(K, H, W)``."""
        return self.entities.masks().view(np.uint8)

    def to_tensor(self, dtype: torch.dtype, device: Union[str, torch.device]) -> Tensor:
        """Return one mask for each entity, ``(K, H, W)``."""
        return torch.as_tensor(self.to_ndarray(), dtype=dtype, device=device)

    def get_bboxes(self, dst_type: Union[str, type] = 'hbox') -> BaseBoxes:
        """Return the tight box of each entity, in px.

        Args:
            dst_type: Box type of mmdet, or its name; horizontal boxes by default.
        """
        box_type = get_box_type(dst_type)[1]
        if box_type is HorizontalBoxes:
            return boxes_of(self.entities.boxes_xyxy_px)
        bitmaps = BitmapMasks(self.to_ndarray(), self.height, self.width)
        return box_type.from_instance_masks(bitmaps)

    @classmethod
    def cat(cls, masks: Sequence[BaseInstanceMasks]) -> 'EntityMasks':
        """Join the entities of images of one size, in order."""
        if not len(masks):
            raise ValueError('there are no masks to concatenate')
        parts = [cls.of(part) for part in masks]
        layers: list[np.ndarray] = []
        num_entities = 0
        for part in parts:
            for layer in part.entities.ids:
                _add_layer(layers, np.where(layer, layer + num_entities, 0))
            num_entities += len(part)
        entities = EntityMap(np.stack(layers), num_entities)
        return cls(entities, np.concatenate([part.annotated_areas for part in parts]))


class _Bitmaps(np.ndarray):
    """Masks ``(K, H, W)`` that tell their owner what is written into them."""

    owner: Optional[EntityMasks] = None

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)
        if self.owner is not None:
            self.owner.masks = np.asarray(self)


def boxes_of(boxes_xyxy_px: np.ndarray) -> HorizontalBoxes:
    """Make mmdet's boxes of boxes ``(K, 4)``."""
    return HorizontalBoxes(np.asarray(boxes_xyxy_px, dtype=np.float32).reshape(-1, 4))


def _add_layer(layers: list[np.ndarray], new: np.ndarray) -> None:
    """Paint into the first layer where nothing overlaps, or add one."""
    for layer in layers:
        if layer.shape != new.shape:
            raise ValueError(
                f'entities of images of {layer.shape[0]}x{layer.shape[1]} and '
                f'{new.shape[0]}x{new.shape[1]} (height x width) cannot be joined'
            )
        if not (layer.astype(bool) & new.astype(bool)).any():
            layer += new
            return
    layers.append(new)


def _check_border(value: float) -> None:
    if value:
        raise ValueError(f'a border of entities cannot be filled with {value}; set it to 0')
