"""Pictures and entity annotations from disk."""

import io
from typing import Optional

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageOps

from mmentity.datasets.errors import SampleError
from mmentity.registry import TRANSFORMS
from mmentity.structures import EntityMap


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
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
            return np.ascontiguousarray(np.asarray(_to_rgb(picture))[..., ::-1])
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SampleError(
                f'{path} is no whole picture ({error}); fetch the file again'
            ) from error


@TRANSFORMS.register_module()
class LoadEntityAnnotations(BaseTransform):
    """Load the entities of a picture as one :class:`EntityMap`.

    Reads COCO segmentations (``instances``) or a panoptic PNG
    (``seg_map_path`` and ``segments_info``). Adds ``gt_entity_map``,
    ``gt_labels`` int64 ``(K,)``, ``gt_areas`` float64 ``(K,)`` px as annotated,
    and ``gt_iscrowd`` bool ``(K,)``.

    Args:
        backend_args: Where to read PNGs from, as in mmengine's ``fileio``.

    Raises:
        SampleError: If an annotation does not fit its picture.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the annotations of one sample."""
        height, width = results['ori_shape']
        records = results['instances']
        try:
            if results.get('seg_map_path'):
                entities = self._from_png(results['seg_map_path'], records, height, width)
            else:
                masks = [record['mask'] for record in records]
                entities = EntityMap.from_segmentations(masks, height, width)
        except (OSError, ValueError) as error:
            raise SampleError(
                f'the annotation of {results["img_path"]} (image id {results["img_id"]}) is '
                f'unusable: {error}'
            ) from error
        results['gt_entity_map'] = entities
        results['gt_labels'] = np.array([r['bbox_label'] for r in records], dtype=np.int64)
        results['gt_iscrowd'] = np.array([r['ignore_flag'] for r in records], dtype=bool)
        areas = entities.areas
        results['gt_areas'] = np.array(
            [r.get('area', a) for r, a in zip(records, areas)], dtype=np.float64
        )
        return results

    def _from_png(self, path: str, records: list, height: int, width: int) -> EntityMap:
        colours = np.asarray(
            Image.open(io.BytesIO(fileio.get(path, backend_args=self.backend_args))).convert('RGB')
        )
        if colours.shape[:2] != (height, width):
            raise ValueError(
                f'{path} is {colours.shape[0]}x{colours.shape[1]}, the picture is {height}x{width} '
                '(height x width)'
            )
        segments = colours.astype(np.int64) @ np.array([1, 256, 65536])
        return EntityMap.from_segment_ids(segments, [record['segment_id'] for record in records])


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith('I;16') or picture.mode == 'I':
        grey = np.asarray(picture, dtype=np.int64)
        if grey.min(initial=0) < 0 or grey.max(initial=0) > 65535:
            raise ValueError('its grey values are not in 0..65535')
        picture = Image.fromarray((grey // 257).astype(np.uint8))
    elif picture.mode == 'F':
        raise ValueError('it holds floating point values; save it as 8 or 16 bit')
    return picture.convert('RGB')


def _size_hint(actual: tuple, expected: tuple) -> str:
    """Tell which of the two usual mistakes a wrong size is."""
    if actual == expected[::-1]:
        return 'it was rotated after annotation; use the original file'
    if max(actual) < max(expected):
        return 'it looks like a low-resolution picture; use the *_lr annotation file'
    return 'it looks like a high-resolution picture; use the annotation file without _lr'
