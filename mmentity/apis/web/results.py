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

from mmentity.apis.export.numbering import NumberedResult, encode_image, number_entities
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.overlays import shrink
from mmentity.apis.result import EntityResult
from mmentity.structures.palette import entity_colours
from mmentity.visualization.drawing import mean_colours

# what the page zooms into; larger canvases are too much for phones
SHOWN_SIDE = 4096
# of all kept images together, except for a single larger one
KEPT_RESULTS, KEPT_PIXELS = 8, 200 * 10**6


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
            while len(self.results) > 1 and not self._has_room():
                self.results.popitem(last=False)
        return key

    def _has_room(self) -> bool:
        pixels = sum(result.height * result.width for result in self.results.values())
        return len(self.results) <= KEPT_RESULTS and pixels <= KEPT_PIXELS

    def get(self, key: str) -> EntityResult:
        """Return a result; KeyError where it is not kept any more."""
        return self.results[key]


def describe(result: EntityResult, key: str) -> dict[str, Any]:
    """Describe a result to the page: image, map and entities, before any threshold.

    Returns:
        ``image`` and ``ids`` are data URIs of one size; a pixel of ``ids`` has
        its id in red + 256 green. Ids are ranks by score, so they stay when
        thresholds move. An entity has its ``colour`` and the ``mean`` of the image
        below it, RGB 0..255, of which the page mixes what it looks like.
    """
    image, entities = shrink(result, SHOWN_SIDE)
    ids = entities.ids[0]
    coded = np.stack([ids & 255, ids >> 8, np.zeros_like(ids)], axis=-1).astype(np.uint8)
    record = NumberedResult(result, np.arange(1, len(result) + 1)).record()
    means = mean_colours(image, entities).round().astype(int)
    colours = entity_colours(len(result))[1:]
    for entity, colour, mean in zip(record['entities'], colours.tolist(), means.tolist()):
        entity.update(colour=colour, mean=mean)
    return {
        **record,
        'key': key,
        'image': _data_uri('image/jpeg', encode_image('.jpg', image)),
        'ids': _data_uri('image/png', encode_image('.png', coded)),
    }


def _data_uri(media_type: str, data: bytes) -> str:
    return f'data:{media_type};base64,{base64.b64encode(data).decode()}'


def make_download(result: EntityResult, kind: str, score_thr: float, min_area: int) -> Download:
    """Make a file, such as ``'map.png'``, of the entities above the thresholds.

    Raises:
        ValueError: If there is no such kind, or a threshold is out of range.
    """
    options = OutputOptions(score_thr=score_thr, min_area=min_area, ids='rank')
    numbered = number_entities(result, options)
    name = f'{result.name}_{kind}'
    if kind == 'map.png':
        return Download(name, 'image/png', numbered.png())
    if kind == 'entities.json':
        table = {**numbered.record(), 'score_thr': score_thr, 'min_area': min_area}
        return Download(name, 'application/json', json.dumps(table, indent=1).encode())
    if kind == 'cutouts.zip':
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, 'w') as archive:
            for file, data in numbered.cutouts():
                archive.writestr(file, data)
        return Download(name, 'application/zip', stream.getvalue())
    raise ValueError(f'there is no file {kind!r}; there are map.png, entities.json, cutouts.zip')
