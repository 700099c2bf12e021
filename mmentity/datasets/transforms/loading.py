"""Pictures and entity annotations from disk."""

import io
from collections.abc import Sequence
from typing import Optional

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmentity.datasets.categories import IGNORED
from mmentity.datasets.errors import SampleError
from mmentity.datasets.id_maps import entity_ids, read_id_map
from mmentity.datasets.images import pil_to_bgr
from mmentity.datasets.transforms.geometry import shortest_edge_size
from mmentity.registry import TRANSFORMS
from mmentity.structures import EntityMap

# the low-resolution pictures of EntitySeg, px
LOW_SHORT_SIDE, LOW_LONG_SIDE = 800, 1333


@TRANSFORMS.register_module()
class LoadEntityImage(BaseTransform):
    """Load a picture of any common kind as 8-bit BGR.

    Grey, palette, CMYK, transparent and 16-bit pictures are converted (alpha is
    dropped, 16 bits are scaled to 8), EXIF orientation is applied, as the
    official code does, and a truncated file is an error instead of grey rows.

    Needs ``img_path``; ``height`` and ``width``, where the annotations give
    them, must be those of the picture. Adds ``img`` uint8 ``(H0, W0, 3)`` and
    ``ori_shape``.

    Args:
        backend_args: Where to read from, as in mmengine's ``fileio``.

    Raises:
        SampleError: If the file is missing, damaged, or of another size.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the picture of one sample."""
        path = results['img_path']
        img = self._read(path)
        actual, expected = img.shape[:2], (results.get('height'), results.get('width'))
        if None not in expected and actual != expected:
            raise SampleError(
                f'{path} is {actual[0]}x{actual[1]} (height x width), its annotation is for '
                f'{expected[0]}x{expected[1]}; {_size_hint(actual, expected)}'
            )
        results['img'] = img
        results['ori_shape'] = actual
        return results

    def _read(self, path: str) -> np.ndarray:
        try:
            data = fileio.get(path, backend_args=self.backend_args)
        except (OSError, ValueError) as error:
            raise SampleError(
                f'{path} cannot be read ({error}); check data_root and data_prefix'
            ) from error
        try:
            return pil_to_bgr(Image.open(io.BytesIO(data)))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SampleError(
                f'{path} is no whole picture ({error}); fetch the file again'
            ) from error


@TRANSFORMS.register_module()
class LoadEntityAnnotations(BaseTransform):
    """Load the entities of a picture as one :class:`EntityMap`.

    Reads whichever a sample has: an id map (``id_map_path``), a panoptic PNG (``segments_info`` and
    ``seg_map_path``), COCO segmentations (``instances``), or a semantic map
    (``seg_map_path`` and ``num_classes``), each class of which becomes one entity
    and whose other pixels, 255, are no entity. Adds ``gt_entity_map``,
    ``gt_labels`` int64 ``(K,)``, ``gt_areas`` float64 ``(K,)`` px as annotated,
    and ``gt_iscrowd`` bool ``(K,)``; for a semantic map also ``gt_seg_map`` uint8
    ``(H0, W0)``, the truth of mIoU.

    Args:
        backend_args: Where to read PNGs from, as in mmengine's ``fileio``.

    Raises:
        SampleError: If an annotation does not fit its picture.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the annotations of one sample."""
        try:
            if 'id_map_path' in results:
                self._load_id_map(results)
            elif 'segments_info' in results:
                self._load_panoptic(results)
            elif 'instances' in results:
                self._load_instances(results)
            else:
                self._load_semantic(results)
        except (OSError, ValueError) as error:
            raise SampleError(
                f'the annotation of {results["img_path"]} (image id {results["img_id"]}) is '
                f'unusable: {error}'
            ) from error
        return results

    def _load_id_map(self, results: dict) -> None:
        path = results['id_map_path']
        picture = self._open(path, results['ori_shape'])
        try:
            values = read_id_map(picture, results['map_kind'])
        except (OSError, ValueError, SyntaxError) as error:
            raise ValueError(f'{path} cannot be read as ids ({error})') from error
        ids = entity_ids(values, results['no_entity_ids'])
        entities = EntityMap.from_segment_ids(values, ids)
        none = np.zeros(len(ids))
        _add_truth(results, entities, none, entities.areas, none)

    def _load_instances(self, results: dict) -> None:
        records = results['instances']
        masks = [record['mask'] for record in records]
        entities = EntityMap.from_segmentations(masks, *results['ori_shape'])
        areas = [record.get('area') for record in records]
        if None in areas:
            areas = [own if area is None else area for area, own in zip(areas, entities.areas)]
        labels = [record['bbox_label'] for record in records]
        _add_truth(results, entities, labels, areas, [r['ignore_flag'] for r in records])

    def _load_panoptic(self, results: dict) -> None:
        path, records = results['seg_map_path'], results['segments_info']
        colours = np.asarray(self._open(path, results['ori_shape']).convert('RGB'))
        segments = colours.astype(np.int64) @ np.array([1, 256, 65536])
        segment_ids = [record['id'] for record in records]
        _check_segments(path, set(np.unique(segments).tolist()) - {0}, records)
        entities = EntityMap.from_segment_ids(segments, segment_ids)
        labels, areas, crowd = (
            [r[key] for r in records] for key in ('category', 'area', 'iscrowd')
        )
        _add_truth(results, entities, labels, areas, crowd)

    def _load_semantic(self, results: dict) -> None:
        path = results['seg_map_path']
        picture = self._open(path, results['ori_shape'])
        if picture.mode not in ('L', 'P', 'I;16', 'I'):
            raise ValueError(
                f'{path} is of mode {picture.mode}; a semantic map has one channel of class numbers'
            )
        classes = np.asarray(picture)
        labels = np.setdiff1d(classes, [IGNORED])
        if len(labels) and labels[-1] >= results['num_classes']:
            raise ValueError(
                f'{path} holds the value {labels[-1]}; classes are 0 to '
                f'{results["num_classes"] - 1}, and {IGNORED} is to be ignored'
            )
        entities = EntityMap.from_segment_ids(classes, labels)
        results['gt_seg_map'] = classes.astype(np.uint8)
        _add_truth(results, entities, labels, entities.areas, np.zeros(len(labels)))

    def _open(self, path: str, expected: tuple) -> Image.Image:
        """Open a map and check its size against that of the picture."""
        picture = Image.open(io.BytesIO(fileio.get(path, backend_args=self.backend_args)))
        actual = picture.size[::-1]
        if actual != tuple(expected):
            raise ValueError(
                f'{path} is {actual[0]}x{actual[1]}, the picture is {expected[0]}x{expected[1]} '
                f'(height x width); {_map_size_hint(actual, expected)}'
            )
        return picture


def _add_truth(
    results: dict, entities: EntityMap, labels: Sequence, areas: Sequence, iscrowd: Sequence
) -> None:
    results['gt_entity_map'] = entities
    results['gt_labels'] = np.asarray(labels, dtype=np.int64)
    results['gt_areas'] = np.asarray(areas, dtype=np.float64)
    results['gt_iscrowd'] = np.asarray(iscrowd, dtype=bool)


def _check_segments(path: str, found: set, records: Sequence[dict]) -> None:
    """Check that a panoptic PNG holds the segments that its json lists."""
    listed = {record['id'] for record in records}
    missing = {record['id'] for record in records if record['area'] > 0} - found
    for ids, sentence in (
        (found - listed, 'has segments that its json does not list'),
        (missing, 'lacks segments that its json lists'),
    ):
        if ids:
            shown = ', '.join(map(str, sorted(ids)[:5])) + (', ...' if len(ids) > 5 else '')
            raise ValueError(
                f'{path} {sentence} ({shown}); json and PNGs must come from the same release'
            )


def _map_size_hint(actual: tuple, expected: tuple) -> str:
    """Tell what a map of another size than its picture may belong to."""
    low, low_of_map = (
        shortest_edge_size(*size, LOW_SHORT_SIDE, LOW_LONG_SIDE) for size in (expected, actual)
    )
    if _is_about(actual, low):
        return 'the map fits the low-resolution picture; use images_lr or the high-resolution map'
    if _is_about(expected, low_of_map):
        return 'the picture is the low-resolution one; use images or the low-resolution map'
    return 'it fits the low-resolution picture neither; fetch both files again'


def _is_about(size: tuple, other: tuple) -> bool:
    """Whether two sizes differ by no more than rounding."""
    return all(abs(a - b) <= 1 for a, b in zip(size, other))


def _size_hint(actual: tuple, expected: tuple) -> str:
    """Tell which of the two usual mistakes a wrong size is."""
    if actual == expected[::-1]:
        return 'it was rotated after annotation; use the original file'
    if max(actual) < max(expected):
        return 'it looks like a low-resolution picture; use the *_lr annotation file'
    return 'it looks like a high-resolution picture; use the annotation file without _lr'
