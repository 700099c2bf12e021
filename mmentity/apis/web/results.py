"""What the page shows of a predicted image, and its downloads."""

import base64
import io
import json
import secrets
import zipfile
from collections import OrderedDict
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from mmentity.apis.export.encoding import encode_image
from mmentity.apis.export.numbering import NumberedResult, choose_dtype, number_entities
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.overlays import shrink
from mmentity.apis.result import EntityResult
from mmentity.structures.palette import entity_colours

SHOWN_SIDE = 1600
KEPT_RESULTS = 8


class Download(NamedTuple):
    """A file for the browser."""

    name: str
    media_type: str
    data: bytes


class ResultStore:
    """The last few results, each under a key that only its page knows."""

    def __init__(self) -> None:
        self.results: OrderedDict[str, EntityResult] = OrderedDict()
        self.lock = Lock()

    def add(self, result: EntityResult) -> str:
        """Keep a result and return its key."""
        key = secrets.token_urlsafe(16)
        with self.lock:
            self.results[key] = result
            while len(self.results) > KEPT_RESULTS:
                self.results.popitem(last=False)
        return key

    def get(self, key: str) -> EntityResult:
        """Return a result; KeyError where it is not kept any more."""
        return self.results[key]


def describe(result: EntityResult, key: str) -> dict[str, Any]:
    """Describe a result to the page: image, map and entities, before any threshold.

    Returns:
        ``image`` and ``ids`` are data URIs of one size; a pixel of ``ids`` has
        its id in red + 256 green. Ids are ranks by score, so they stay when
        thresholds move.
    """
    image, entities = shrink(result, SHOWN_SIDE)
    ids = entities.ids[0]
    coded = np.stack([ids & 255, ids >> 8, np.zeros_like(ids)], axis=-1).astype(np.uint8)
    colours = entity_colours(len(result))[1:].tolist()
    return {
        'key': key,
        'name': result.name,
        'width': result.width,
        'height': result.height,
        'image': _data_uri('.jpg', image, 'image/jpeg'),
        'ids': _data_uri('.png', coded, 'image/png'),
        'entities': [
            {**record, 'colour': colour} for record, colour in zip(result.records(), colours)
        ],
    }


def make_download(result: EntityResult, kind: str, score_thr: float, min_area: int) -> Download:
    """Make a file of the entities above the thresholds.

    Args:
        result: All that the model predicted.
        kind: ``'map.png'``, ``'entities.json'`` or ``'cutouts.zip'``.
        score_thr: Lowest score, 0..1.
        min_area: Fewest pixels.

    Raises:
        ValueError: If there is no such kind, or a threshold is out of range.
    """
    options = OutputOptions(score_thr=score_thr, min_area=min_area, ids='rank')
    numbered = number_entities(result, options)
    if kind == 'map.png':
        data = encode_image('.png', numbered.id_map(choose_dtype(numbered, 'auto')))
        return Download(f'{result.name}_map.png', 'image/png', data)
    if kind == 'entities.json':
        data = json.dumps(_table(numbered, options), indent=1).encode()
        return Download(f'{result.name}_entities.json', 'application/json', data)
    if kind == 'cutouts.zip':
        return Download(f'{result.name}_cutouts.zip', 'application/zip', _zip_cutouts(numbered))
    raise ValueError(f'there is no file {kind!r}; there are map.png, entities.json, cutouts.zip')


def _table(numbered: NumberedResult, options: OutputOptions) -> dict[str, Any]:
    result = numbered.result
    return {
        'name': result.name,
        'width': result.width,
        'height': result.height,
        'score_thr': options.score_thr,
        'min_area': options.min_area,
        'entities': numbered.records(),
    }


def _zip_cutouts(numbered: NumberedResult) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        for number, cutout in zip(numbered.ids, numbered.result.cutouts()):
            archive.writestr(f'{number}.png', encode_image('.png', cutout))
    return stream.getvalue()


def _data_uri(suffix: str, img: np.ndarray, media_type: str) -> str:
    return f'data:{media_type};base64,{base64.b64encode(encode_image(suffix, img)).decode()}'
