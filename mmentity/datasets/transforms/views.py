"""The views of an image: flip, crop, resize."""

from collections.abc import Sequence
from typing import Any, Optional, Union

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from mmentity.datasets.geometry import (
    checked_boxes,
    grid_boxes,
    resize_image,
    shortest_edge_size,
)
from mmentity.datasets.transforms.alignment import ViewsAreMade, begin, check_size, to_uint8
from mmentity.registry import TRANSFORMS

# xyxy px
Box = tuple[int, int, int, int]


@TRANSFORMS.register_module()
class FlipEntities(BaseTransform):
    """Mirror an image and its entity map left and right, at random.

    Comes before :class:`CropViews`, so that the boxes of crops are in the
    mirrored image.

    Args:
        prob: Probability of mirroring, 0..1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror one sample, or not."""
        masks = begin(results, self)
        results['flip'] = bool(np.random.random() < self.prob)
        results['flip_direction'] = 'horizontal' if results['flip'] else None
        if results['flip']:
            results['img'] = cv2.flip(results['img'], 1)
            if masks is not None:
                results['gt_masks'] = masks.flip()
            if results.get('gt_bboxes') is not None:
                results['gt_bboxes'].flip_(results['img'].shape[:2])
            if results.get('gt_seg_map') is not None:
                results['gt_seg_map'] = results['gt_seg_map'][:, ::-1].copy()
        return results


@TRANSFORMS.register_module()
class CropViews(BaseTransform):
    """Cut the views of an image: the whole of it and crops on a grid.

    Adds ``view_boxes`` int64 ``(V, 4)`` xyxy px, the whole image first; the
    crops themselves are made by :class:`ResizeViews`. A sample that comes with
    ``crop_boxes``, int ``(N, 4)`` xyxy px, is cut at these instead.

    Args:
        crop_ratio: Side of a crop over the side of the image, 0..1, where two
            are in a row. At 0.7 the crops of stride 0.6 are the four corners.
        num_crops: Number of crops, from 0 on. Defaults to all in order, as testing
            needs them.
        at_random: Whether ``num_crops`` are drawn at random, each at most once, as
            training needs them; otherwise they are the first ones in order: top left,
            top right, bottom left, bottom right.
        grid: Rows and columns of crops. Those of a finer grid are smaller and share
            as much of a crop with their neighbours; the released models are trained
            with one crop of 2 x 2 and tested with all four.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        crop_ratio: float = 0.7,
        num_crops: Optional[int] = None,
        at_random: bool = True,
        grid: Sequence[int] = (2, 2),
    ) -> None:
        if not 0 < crop_ratio <= 1:
            raise ValueError(f'crop_ratio is {crop_ratio}; it must be above 0 and at most 1')
        if len(grid) != 2 or min(grid) < 1:
            raise ValueError(f'grid is {grid}; it is rows and columns of crops, at least 1 each')
        self.grid = (int(grid[0]), int(grid[1]))
        most = self.grid[0] * self.grid[1]
        if num_crops is not None and not 0 <= num_crops <= most:
            kind = 'corner crops' if self.grid == (2, 2) else 'crops'
            raise ValueError(f'num_crops is {num_crops}; an image has 0 to {most} {kind}')
        self.crop_ratio = crop_ratio
        self.num_crops = num_crops
        self.at_random = at_random

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Choose the views of one sample."""
        begin(results, self)
        height, width = results['img'].shape[:2]
        whole = np.array([[0, 0, width, height]])
        results['view_boxes'] = np.concatenate([whole, self._crops(results, height, width)])
        return results

    def _crops(self, results: dict[str, Any], height: int, width: int) -> np.ndarray:
        if results.get('crop_boxes') is not None:
            return checked_boxes(results['crop_boxes'], height, width)
        crops = grid_boxes(height, width, self.crop_ratio, self.grid)
        if self.num_crops is not None:
            number = len(crops)
            order = np.random.permutation(number) if self.at_random else np.arange(number)
            crops = crops[order[: self.num_crops]]
        return crops


@TRANSFORMS.register_module()
class ResizeViews(BaseTransform):
    """Resize every view to a short side, as the official mapper does.

    One short side is drawn for all views of an image. Without
    :class:`CropViews` before it the whole image is the only view. Adds
    ``view_imgs``, ``view_shapes`` and, if there is an entity map, ``view_maps``.

    Args:
        short_side: Short side in px, or several to draw from.
        long_side: Largest long side in px.
    """

    def __init__(self, short_side: Union[int, Sequence[int]] = 800, long_side: int = 1333) -> None:
        self.short_sides = [short_side] if isinstance(short_side, int) else list(short_side)
        self.long_side = long_side

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make the views of one sample."""
        masks = begin(results, self)
        img = results['img']
        if 'view_boxes' not in results:
            results['view_boxes'] = np.array([[0, 0, img.shape[1], img.shape[0]]])
        short_side = self.short_sides[np.random.randint(len(self.short_sides))]
        imgs, maps, shapes = [], [], []
        for x0, y0, x1, y1 in results['view_boxes'].tolist():
            size = shortest_edge_size(y1 - y0, x1 - x0, short_side, self.long_side)
            imgs.append(resize_image(img[y0:y1, x0:x1], *size))
            shapes.append(size)
            if masks is not None:
                maps.append(masks.entities.crop((x0, y0, x1, y1)).resize(*size))
        results['view_imgs'], results['view_shapes'] = imgs, shapes
        results['img'] = ViewsAreMade()
        if masks is not None:
            results['view_maps'] = maps
        return results


@TRANSFORMS.register_module()
class RandomCropViews(BaseTransform):
    """Cut a square of fixed size out of the views at random.

    Views that are smaller are padded with grey at the right and bottom. Each
    view is cut independently.

    Args:
        size: Side of the square in px.
        pad_value: Grey value of the padding, 0..255.
    """

    def __init__(self, size: int = 512, pad_value: int = 128) -> None:
        self.size = size
        self.pad_value = pad_value

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Cut the views of one sample."""
        size = self.size
        for img, entities in zip(results['view_imgs'], results.get('view_maps', ())):
            map_size = entities.height, entities.width
            check_size(img.shape[:2], map_size, 'before RandomCropViews')
        boxes = [_random_square(img.shape, size) for img in results['view_imgs']]
        results['view_imgs'] = [
            _cut_square(img, box, size, self.pad_value)
            for img, box in zip(results['view_imgs'], boxes)
        ]
        if 'view_maps' in results:
            results['view_maps'] = [
                entities.crop(box) for entities, box in zip(results['view_maps'], boxes)
            ]
        results['view_shapes'] = [(size, size)] * len(boxes)
        return results


@TRANSFORMS.register_module()
class LargeScaleJitter(BaseTransform):
    """Resize by a random factor and cut a square of fixed size (LSJ).

    Images that are smaller than the square are padded with grey 128 at the
    right and bottom; the result is the only view.

    Args:
        size: Side of the square in px.
        scale: Smallest and largest factor, relative to the image that fits
            the square.
        pad_value: Grey value of the padding, 0..255.
    """

    def __init__(
        self, size: int = 1024, scale: Sequence[float] = (0.1, 2.0), pad_value: int = 128
    ) -> None:
        self.min_scale, self.max_scale = scale
        self.crop = RandomCropViews(size, pad_value)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Jitter one sample."""
        masks = begin(results, self)
        img = results['img']
        factor = (
            np.random.uniform(self.min_scale, self.max_scale) * self.crop.size / max(img.shape[:2])
        )
        height, width = (max(1, round(side * factor)) for side in img.shape[:2])
        results['view_boxes'] = np.array([[0, 0, img.shape[1], img.shape[0]]])
        results['view_imgs'] = [resize_image(img, height, width)]
        results['img'] = ViewsAreMade()
        if masks is not None:
            results['view_maps'] = [masks.entities.resize(height, width)]
        return self.crop.transform(results)


@TRANSFORMS.register_module()
class ApplyToViews(BaseTransform):
    """Apply transforms of another package to the image of each view.

    For transforms that change colours and leave the geometry alone, such as
    ``mmdet.PhotoMetricDistortion``; random numbers are drawn for each view. What
    they return in floating point is rounded, and clipped to 0..255.

    Args:
        transforms: Configs of transforms that read and write ``img``, uint8 BGR.

    Raises:
        ValueError: If a transform flips, moves or resizes a view.
    """

    def __init__(self, transforms: Sequence[dict]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change the views of one sample."""
        results['view_imgs'] = [self._change(img) for img in results['view_imgs']]
        return results

    def _change(self, img: np.ndarray) -> np.ndarray:
        changed = self.transforms({'img': img, 'img_shape': img.shape[:2]})
        moved = changed.get('flip') or changed.get('homography_matrix') is not None
        if moved or changed['img'].shape != img.shape:
            raise ValueError(
                f'a transform of ApplyToViews moves or resizes views ({self.transforms}), and '
                'their entities stay as they are: put it before ResizeViews'
            )
        return to_uint8(changed['img'])


def _random_square(shape: Sequence[int], size: int) -> Box:
    """Draw a box xyxy px of at most ``size`` a side inside an image."""
    height, width = shape[:2]
    top, left = (int(np.random.randint(max(side - size, 0) + 1)) for side in (height, width))
    return left, top, min(left + size, width), min(top + size, height)


def _cut_square(img: np.ndarray, box: Box, size: int, pad_value: int) -> np.ndarray:
    x0, y0, x1, y1 = box
    square = np.full((size, size, 3), pad_value, dtype=np.uint8)
    square[: y1 - y0, : x1 - x0] = img[y0:y1, x0:x1]
    return square
