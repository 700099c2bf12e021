"""Images and entity annotations from disk."""

import io
import logging
from collections.abc import Sequence
from functools import cache
from typing import Any, Optional

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import InferencerLoader, LoadImageFromNDArray
from mmengine.logging import print_log
from numpy.typing import ArrayLike
from PIL import Image

from mmentity.datasets.categories import IGNORED
from mmentity.datasets.errors import SampleError
from mmentity.datasets.images import decode_bgr
from mmentity.datasets.rules import (
    check_classes,
    check_image_size,
    check_map_size,
    check_segments,
    decoding,
    decoding_image,
    instance_runs,
    naming_sample,
    semantic_values,
)
from mmentity.datasets.transforms.alignment import check_untouched
from mmentity.registry import TRANSFORMS
from mmentity.structures import EntityMap
from mmentity.structures.entity_masks import EntityMasks, boxes_of
from mmentity.structures.id_map import ids_of_colours, read_id_map
from mmentity.structures.rle import box_of

# what mmseg puts in the place of ``LoadImageFromFile``, looked up in the scope of that step
TRANSFORMS.register_module(module=InferencerLoader)
TRANSFORMS.register_module(module=LoadImageFromNDArray)


@TRANSFORMS.register_module(name=['LoadEntityImage', 'LoadImageFromFile'])
class LoadEntityImage(BaseTransform):
    """Load an image of any common kind as 8-bit BGR.

    Shipped configs name it ``dict(type='LoadImageFromFile', _scope_='mmentity')``: the
    inferencers of mmdet and mmseg look for that type, put their ``InferencerLoader``
    in its place, and build the loader of the same scope inside.

    Grey, palette, CMYK, transparent and 16-bit images are converted (alpha is
    dropped, 16 bits are scaled to 8), EXIF orientation is applied, as the
    official code does, and a truncated file is an error instead of grey rows.

    Needs ``img_path``; ``height`` and ``width``, where the annotations give
    them, must be those of the image. Adds ``img`` uint8 ``(H0, W0, 3)``,
    ``img_shape`` and ``ori_shape``.

    Args:
        backend_args: Where to read from, as in mmengine's ``fileio``.
        depth: Bits that 16-bit values use, such as ``'12'``; ``'auto'`` is the smallest of
            8, 10, ..., 16 that holds the largest value of the image.

    Raises:
        SampleError: If the file is missing, damaged, or of another size.
    """

    def __init__(self, backend_args: Optional[dict] = None, depth: str = 'auto') -> None:
        self.backend_args, self.depth = backend_args, str(depth)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the image of one sample."""
        path = results['img_path']
        img = self._read(path)
        check_image_size(path, img.shape[:2], (results.get('height'), results.get('width')))
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray:
        data = _read_file(path, 'missing-image', self.backend_args)
        with decoding_image(path):
            return decode_bgr(data, path, self.depth)


@TRANSFORMS.register_module()
class LoadEntityAnnotations(BaseTransform):
    """Load the entities of an image as one map, under the names that mmdet uses.

    Reads whichever a sample has: an id map (``id_map_path``), a panoptic PNG
    (``segments_info`` and ``seg_map_path``), a semantic map (``seg_map_path`` and
    ``num_classes``), each class of which becomes one entity and whose other
    pixels, 255, are no entity, or COCO segmentations (``instances``). Adds

    - ``gt_masks``: :class:`mmentity.structures.entity_masks.EntityMasks` around the
      :class:`EntityMap`, with the areas as annotated,
    - ``gt_bboxes``: mmdet's ``HorizontalBoxes``, tight around the pixels,
    - ``gt_bboxes_labels`` int64 ``(K,)``,
    - ``gt_ignore_flags`` bool ``(K,)``, the crowds,

    so that every transform of mmdet that handles masks keeps image and entities
    together; for a semantic map also ``gt_seg_map`` uint8 ``(H0, W0)``, the ground
    truth of mIoU. An image that comes without any of these, as from
    ``inference_detector``, gets no ground truth.

    Args:
        backend_args: Where to read PNGs from, as in mmengine's ``fileio``.
        num_things: Number of thing classes, for ``mmdet.CocoPanopticDataset`` only:
            it does not say which segments are crowds, but marks crowds of things as
            no things. 80 for COCO.

    Raises:
        SampleError: If an annotation does not fit its image.
        ValueError: If the image has been changed already.
    """

    def __init__(
        self, backend_args: Optional[dict] = None, num_things: Optional[int] = None
    ) -> None:
        self.backend_args = backend_args
        self.num_things = num_things

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the annotations of one sample."""
        check_untouched(results)
        with naming_sample(results):
            if 'id_map_path' in results:
                self._load_id_map(results)
            elif 'segments_info' in results:
                self._load_panoptic(results)
            elif 'num_classes' in results:
                self._load_semantic(results)
            elif 'instances' in results:
                self._load_instances(results)
        return results

    def _load_id_map(self, results: dict[str, Any]) -> None:
        path = results['id_map_path']
        with decoding('bad-map', f'{path} cannot be read as ids'):
            values = read_id_map(self._open(path, results), results['map_kind'])
        entities = EntityMap.from_id_map(values, results['no_entity_ids'])
        zeros = np.zeros(entities.num_entities)
        _add_ground_truth(results, entities, zeros, None, zeros)

    def _load_instances(self, results: dict[str, Any]) -> None:
        records, size = results['instances'], results['ori_shape']
        runs = [instance_runs(record, size) for record in records]
        entities = EntityMap.from_runs(runs, *size)
        labels, iscrowd = ([r[key] for r in records] for key in ('bbox_label', 'ignore_flag'))
        boxes = [box_of(r, size[0]) if len(r.starts) else np.zeros(4) for r in runs]
        _add_ground_truth(results, entities, labels, _areas(records, entities), iscrowd, boxes)

    def _load_panoptic(self, results: dict[str, Any]) -> None:
        path, records = results['seg_map_path'], results['segments_info']
        with decoding('bad-map', f'{path} cannot be read'):
            segments = ids_of_colours(np.asarray(self._open(path, results).convert('RGB')))
        check_segments(path, set(np.unique(segments).tolist()) - {0}, records)
        entities = EntityMap.from_segment_ids(segments, [record['id'] for record in records])
        labels = [record['category'] for record in records]
        iscrowd = [self._is_crowd(record) for record in records]
        _add_ground_truth(results, entities, labels, _areas(records, entities), iscrowd)

    def _is_crowd(self, record: dict[str, Any]) -> bool:
        if 'iscrowd' in record:
            return bool(record['iscrowd'])
        if record['is_thing']:
            return False
        if self.num_things is None:
            _warn_of_crowds()
            return False
        return record['category'] < self.num_things

    def _load_semantic(self, results: dict[str, Any]) -> None:
        path = results['seg_map_path']
        with decoding('bad-map', f'{path} cannot be read'):
            classes = semantic_values(path, self._open(path, results))
        labels = np.setdiff1d(classes, [IGNORED])
        check_classes(path, labels, results['num_classes'])
        entities = EntityMap.from_segment_ids(classes, labels)
        results['gt_seg_map'] = classes.astype(np.uint8)
        _add_ground_truth(results, entities, labels, None, np.zeros(len(labels)))

    def _open(self, path: str, results: dict[str, Any]) -> Image.Image:
        """Open a map and check its size against that of the image."""
        data = _read_file(path, 'missing-map', self.backend_args)
        image = Image.open(io.BytesIO(data))
        check_map_size(path, image.size[::-1], results['ori_shape'])
        return image


def _read_file(path: str, kind: str, backend_args: Optional[dict]) -> bytes:
    try:
        return fileio.get(path, backend_args=backend_args)
    except (OSError, ValueError) as error:
        raise SampleError(
            f'{path} cannot be read ({error}); check data_root and data_prefix', kind
        ) from error


@cache
def _warn_of_crowds() -> None:
    """Say once in each process what mmdet's dataset does not tell."""
    print_log(
        'the segments of this dataset do not say which are crowds, so that crowds are taken for '
        'entities; set LoadEntityAnnotations(num_things=80) for COCO, or take CocoEntityDataset',
        logger='current',
        level=logging.WARNING,
    )


def _areas(records: Sequence[dict[str, Any]], entities: EntityMap) -> Optional[list[float]]:
    """Annotated areas, pixels where a record has none; None if no record has one."""
    areas = [record.get('area') for record in records]
    if all(area is None for area in areas):
        return None
    pixels = entities.areas if None in areas else areas
    return [count if area is None else area for area, count in zip(areas, pixels)]


def _add_ground_truth(
    results: dict[str, Any],
    entities: EntityMap,
    labels: ArrayLike,
    areas: Optional[ArrayLike],
    iscrowd: ArrayLike,
    boxes_xyxy_px: Optional[ArrayLike] = None,
) -> None:
    """Add what was loaded; areas and boxes that are None are those of the pixels."""
    annotated = None if areas is None else np.asarray(areas, dtype=np.float64)
    boxes = entities.boxes_xyxy_px if boxes_xyxy_px is None else np.reshape(boxes_xyxy_px, (-1, 4))
    results['gt_masks'] = EntityMasks(entities, annotated, boxes)
    results['gt_bboxes'] = boxes_of(boxes)
    results['gt_bboxes_labels'] = np.asarray(labels, dtype=np.int64)
    results['gt_ignore_flags'] = np.asarray(iscrowd, dtype=bool)
