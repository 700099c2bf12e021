"""Images and entity annotations from disk."""

import io
from typing import Any, Optional

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import InferencerLoader, LoadImageFromNDArray
from numpy.typing import ArrayLike
from PIL import Image

from mmentity.datasets.categories import IGNORED
from mmentity.datasets.errors import SampleError
from mmentity.datasets.images import pil_to_bgr
from mmentity.datasets.rules import (
    check_classes,
    check_image_size,
    check_map_size,
    check_segments,
    decoding,
    decoding_image,
    mask_runs,
    semantic_values,
)
from mmentity.registry import TRANSFORMS
from mmentity.structures import EntityMap
from mmentity.structures.id_map import entity_ids, ids_of_colours, read_id_map

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
    them, must be those of the image. Adds ``img`` uint8 ``(H0, W0, 3)`` and
    ``ori_shape``.

    Args:
        backend_args: Where to read from, as in mmengine's ``fileio``.

    Raises:
        SampleError: If the file is missing, damaged, or of another size.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the image of one sample."""
        path = results['img_path']
        img = self._read(path)
        check_image_size(path, img.shape[:2], (results.get('height'), results.get('width')))
        results['img'] = img
        results['ori_shape'] = img.shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray:
        data = _read_file(path, 'missing-image', self.backend_args)
        with decoding_image(path):
            return pil_to_bgr(Image.open(io.BytesIO(data)))


@TRANSFORMS.register_module()
class LoadEntityAnnotations(BaseTransform):
    """Load the entities of an image as one :class:`EntityMap`.

    Reads whichever a sample has: an id map (``id_map_path``), a panoptic PNG (``segments_info`` and
    ``seg_map_path``), COCO segmentations (``instances``), or a semantic map
    (``seg_map_path`` and ``num_classes``), each class of which becomes one entity
    and whose other pixels, 255, are no entity. Adds ``gt_entity_map``,
    ``gt_labels`` int64 ``(K,)``, ``gt_areas`` float64 ``(K,)`` px as annotated,
    and ``gt_iscrowd`` bool ``(K,)``; for a semantic map also ``gt_seg_map`` uint8
    ``(H0, W0)``, the ground truth of mIoU. An image that comes without any of these,
    as from ``inference_detector``, gets no ground truth.

    Args:
        backend_args: Where to read PNGs from, as in mmengine's ``fileio``.

    Raises:
        SampleError: If an annotation does not fit its image.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the annotations of one sample."""
        try:
            if 'id_map_path' in results:
                self._load_id_map(results)
            elif 'segments_info' in results:
                self._load_panoptic(results)
            elif 'num_classes' in results:
                self._load_semantic(results)
            elif 'instances' in results:
                self._load_instances(results)
        except SampleError as error:
            raise SampleError(
                f'the annotation of {results["img_path"]} (image id {results.get("img_id")}) is '
                f'unusable: {error}',
                error.kind,
            ) from error
        return results

    def _load_id_map(self, results: dict[str, Any]) -> None:
        path = results['id_map_path']
        with decoding('bad-map', f'{path} cannot be read as ids'):
            values = read_id_map(self._open(path, results), results['map_kind'])
        ids = entity_ids(values, results['no_entity_ids'])
        entities = EntityMap.from_segment_ids(values, ids)
        zeros = np.zeros(len(ids))
        _add_ground_truth(results, entities, zeros, entities.areas, zeros)

    def _load_instances(self, results: dict[str, Any]) -> None:
        records, size = results['instances'], results['ori_shape']
        runs = [mask_runs(record['mask'], size) for record in records]
        entities = EntityMap.from_runs(runs, *size)
        areas = [record.get('area') for record in records]
        if None in areas:
            areas = [
                pixels if area is None else area for area, pixels in zip(areas, entities.areas)
            ]
        labels = [record['bbox_label'] for record in records]
        _add_ground_truth(results, entities, labels, areas, [r['ignore_flag'] for r in records])

    def _load_panoptic(self, results: dict[str, Any]) -> None:
        path, records = results['seg_map_path'], results['segments_info']
        with decoding('bad-map', f'{path} cannot be read'):
            segments = ids_of_colours(np.asarray(self._open(path, results).convert('RGB')))
        check_segments(path, set(np.unique(segments).tolist()) - {0}, records)
        entities = EntityMap.from_segment_ids(segments, [record['id'] for record in records])
        labels, areas, iscrowd = (
            [record[key] for record in records] for key in ('category', 'area', 'iscrowd')
        )
        _add_ground_truth(results, entities, labels, areas, iscrowd)

    def _load_semantic(self, results: dict[str, Any]) -> None:
        path = results['seg_map_path']
        with decoding('bad-map', f'{path} cannot be read'):
            classes = semantic_values(path, self._open(path, results))
        labels = np.setdiff1d(classes, [IGNORED])
        check_classes(path, labels, results['num_classes'])
        entities = EntityMap.from_segment_ids(classes, labels)
        results['gt_seg_map'] = classes.astype(np.uint8)
        _add_ground_truth(results, entities, labels, entities.areas, np.zeros(len(labels)))

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


def _add_ground_truth(
    results: dict[str, Any],
    entities: EntityMap,
    labels: ArrayLike,
    areas: ArrayLike,
    iscrowd: ArrayLike,
) -> None:
    results['gt_entity_map'] = entities
    results['gt_labels'] = np.asarray(labels, dtype=np.int64)
    results['gt_areas'] = np.asarray(areas, dtype=np.float64)
    results['gt_iscrowd'] = np.asarray(iscrowd, dtype=bool)
