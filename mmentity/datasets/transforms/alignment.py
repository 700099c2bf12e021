"""Whether the ground truth of a sample still fits its image."""

from typing import Any, NoReturn, Optional

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import BaseBoxes

from mmentity.datasets.geometry import Size
from mmentity.structures.entity_masks import EntityMasks

# what has one entry for each entity
PER_ENTITY = ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags')


class ViewsAreMade:
    """In the place of ``img`` once the views are made of it.

    A transform that changes the image from then on would have no effect, and the
    entities would stay as they are. Any use raises a ValueError that says so.
    """

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(
            'the views of this image are made already, and a transform that changes the image '
            'has no effect on them: put transforms of images before ResizeViews or '
            'LargeScaleJitter, and those that change colours only there or into ApplyToViews'
        )

    __array__ = __getitem__ = __setitem__ = __len__ = __iter__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith('__'):
            raise AttributeError(name)
        self._refuse()


def begin(results: dict[str, Any], step: BaseTransform) -> Optional[EntityMasks]:
    """Check a sample before one of our steps changes it or makes its views.

    ``img`` becomes uint8 if a colour transform has left it in floating point, and
    ``gt_masks`` becomes :class:`EntityMasks` if it is of another kind.

    Args:
        results: The sample.
        step: The step, for the error message.

    Returns:
        Its entities, or None.

    Raises:
        ValueError: If the views are made already, or image and entities differ.
    """
    name = type(step).__name__
    if isinstance(results['img'], ViewsAreMade):
        raise ValueError(f'{name} comes after the views are made; put it before ResizeViews')
    results['img'] = to_uint8(results['img'])
    if results.get('gt_masks') is None:
        return None
    masks = results['gt_masks'] = EntityMasks.of(results['gt_masks'])
    check_size(results['img'].shape[:2], (masks.height, masks.width), f'before {name}')
    for key in PER_ENTITY:
        if results.get(key) is not None and len(results[key]) != len(masks):
            raise ValueError(
                f'before {name}, {key} has {len(results[key])} entries and gt_masks '
                f'{len(masks)} entities: a transform selects entities without their masks; '
                'take one that handles gt_masks'
            )
    boxes = results.get('gt_bboxes')
    loaded = masks.loaded_boxes
    if boxes is not None and loaded is not None and _moved(boxes, loaded):
        raise ValueError(
            f'before {name}, gt_bboxes and gt_masks have moved apart: a transform moves the boxes '
            'and leaves the masks; take one that handles gt_masks'
        )
    return masks


def _moved(boxes: BaseBoxes, loaded_boxes: np.ndarray) -> bool:
    return not np.array_equal(boxes.tensor.numpy(), loaded_boxes.astype(np.float32))


def check_size(image: Size, entities: Size, place: str) -> None:
    """Compare ``(height, width)`` px of an image and of its entities.

    Raises:
        ValueError: If they differ.
    """
    if tuple(image) != tuple(entities):
        raise ValueError(
            f'{place}, the image is {image[0]}x{image[1]} and the map of its entities '
            f'{entities[0]}x{entities[1]} (height x width): a transform changes one and not the '
            'other; take one that handles gt_masks, such as those of mmdet, and load annotations '
            'before it'
        )


def check_untouched(results: dict[str, Any]) -> None:
    """Check that annotations are loaded before the image is changed, or after its views are made.

    Raises:
        ValueError: If the image has been changed.
    """
    if 'view_imgs' in results or 'img' not in results:
        return
    check_size(results['img'].shape[:2], results['ori_shape'], 'in LoadEntityAnnotations')
    if results.get('flip') or results.get('homography_matrix') is not None:
        raise ValueError(
            f'{results.get("img_path", "the image")} has been flipped or changed otherwise before '
            'its annotations are loaded: put LoadEntityAnnotations right after the image is '
            'loaded, or for scoring after ResizeViews'
        )


def to_uint8(img: np.ndarray) -> np.ndarray:
    """Round an image to uint8; values beyond 0..255 become the nearest of these."""
    if img.dtype == np.uint8:
        return img
    return np.clip(np.rint(img), 0, 255).astype(np.uint8)
