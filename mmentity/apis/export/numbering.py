"""The entities of one image as they are written: filtered, numbered, encoded."""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mmentity.apis.cutouts import entity_crops
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.result import EntityResult

DTYPES: dict[str, type[np.unsignedinteger]] = {'uint8': np.uint8, 'uint16': np.uint16}


class NumberedResult(NamedTuple):
    """Entities in the order of their ids, int32 ``(K,)``, ascending."""

    result: EntityResult
    ids: np.ndarray

    def id_map(self, dtype: type[np.integer]) -> np.ndarray:
        """Return the ids of the pixels, ``(H, W)`` of a type, 0 = no entity."""
        return self.result.lazy_map.paint(self.ids.astype(dtype))

    def png(self, id_dtype: str = 'auto') -> bytes:
        """Encode the id map.

        Raises:
            ValueError: If the ids do not fit the type; they are never wrapped around.
        """
        largest = int(self.ids.max(initial=0))
        if id_dtype == 'auto':
            id_dtype = 'uint8' if largest <= 255 else 'uint16'
        limit = np.iinfo(DTYPES[id_dtype]).max
        if largest > limit:
            wider = 'write uint16 (--id-dtype uint16), or ' if id_dtype == 'uint8' else ''
            raise ValueError(
                f'{self.result.name} has ids up to {largest}, {id_dtype} holds {limit}; {wider}'
                'keep fewer entities (a higher --score-thr or --min-area)'
            )
        return encode_image('.png', self.id_map(DTYPES[id_dtype]))

    def cutouts(
        self,
        options: OutputOptions = OutputOptions(),  # noqa: B008
    ) -> Iterator[tuple[str, bytes]]:
        """Name and encode the cutout of each entity."""
        if options.cutout_background == 'transparent':
            cutouts = self.result.cutouts()
        else:
            cutouts = entity_crops(None, self.result, **options.crop_options)
        for number, cutout in zip(self.ids, cutouts):
            yield f'{number}.png', encode_image('.png', cutout)

    def tables(self) -> dict[str, np.ndarray]:
        """Return the columns of the entities: ids, scores, labels, boxes and areas in px."""
        result = self.result
        return {
            'ids': self.ids,
            'scores': result.scores,
            'labels': result.labels,
            'boxes_xyxy': result.boxes_xyxy_px,
            'areas': result.areas,
        }

    def record(self) -> dict[str, Any]:
        """Return name, size in px and :meth:`EntityResult.records` with the written ids."""
        result = self.result
        numbered = zip(result.records(), self.ids.tolist())
        return {
            'name': result.name,
            'width': result.width,
            'height': result.height,
            'entities': [{**record, 'id': number} for record, number in numbered],
        }


def number_entities(result: EntityResult, options: OutputOptions) -> NumberedResult:
    """Filter, order and number the entities of an image; pixels only change where parts split."""
    if options.size is not None:
        result = result.resize(*options.size)
    if options.split_components:
        result = _split(result, options)
    order = result.order(options.order, options.reverse)
    keep = result.keep(options.score_thr, options.min_area)[order]
    ids = np.flatnonzero(keep) + 1 if options.ids == 'rank' else np.arange(1, keep.sum() + 1)
    return NumberedResult(result.take(order[keep]), ids.astype(np.int32))


def _split(result: EntityResult, options: OutputOptions) -> EntityResult:
    # what is not written costs no time, except where it takes part in the ranks
    if options.ids == 'dense':
        result = result.select(options.score_thr)
    gap_px = options.split_gap * (result.height + result.width)
    return result.split_components(gap_px, options.min_area)


def encode_image(suffix: str, img: np.ndarray, quality: int = 95) -> bytes:
    """Encode an image.

    Args:
        suffix: ``'.png'`` or ``'.jpg'``.
        img: uint8 or uint16 ``(H, W)``, RGB ``(H, W, 3)`` or RGBA ``(H, W, 4)``;
            the channels of RGBA are swapped in place, which saves a copy.
        quality: Quality of a JPEG, 1..100.
    """
    try:
        import cv2
    except ImportError:
        # slower, and all that a run of an exported file needs
        stream = io.BytesIO()
        Image.fromarray(img).save(stream, 'PNG' if suffix == '.png' else 'JPEG', quality=quality)
        return stream.getvalue()
    if img.ndim == 3 and img.shape[2] == 4:
        img[..., 0], img[..., 2] = img[..., 2], img[..., 0].copy()
    elif img.ndim == 3:
        img = cv2.cvtColor(img, cv2.COLOR_RGB2BGR)
    # OpenCV warns of a setting that the format does not have, for each image
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == '.jpg' else []
    return cv2.imencode(suffix, img, settings)[1].tobytes()
