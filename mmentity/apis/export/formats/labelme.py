"""The json files of labelme, one for each image."""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mmentity.apis.export.numbering import NumberedResult, encode_image
from mmentity.datasets.errors import SampleError

# the first version that has masks beside polygons
VERSION = '5.3.0'


def encode_labelme(numbered: NumberedResult, polygons: bool, folder: str) -> bytes:
    """Encode the entities as shapes over the file of their image.

    A shape has the class as label, the id as group, and the score as description. Masks are
    exact; polygons run along the borders of pixels, one for each part of an entity.

    Args:
        numbered: The entities.
        polygons: Whether shapes are polygons instead of masks.
        folder: Folder of the json, which the path of the image is relative to.

    Raises:
        SampleError: If the image has no file of its own.
        ValueError: If a label has no class.
    """
    result = numbered.result
    if result.path is None or result.frame is not None:
        raise SampleError(
            f'{result.name} has no image file, which labelme would open; extract frames of '
            'videos and save arrays as files first, or leave out the format labelme',
            'no-image-file',
        )
    # what is a link is gone through by the path of the image
    image_path = os.path.relpath(os.path.abspath(result.path), os.path.realpath(folder))
    shapes = _polygons(numbered) if polygons else _masks(numbered)
    rows = zip(numbered.record()['entities'], result.class_names(), shapes)
    content: dict[str, Any] = {
        'version': VERSION,
        'flags': {},
        'shapes': [
            {
                'label': name,
                'group_id': record['id'],
                'description': f'score {record["score"]}',
                'flags': {},
                **shape,
            }
            for record, name, parts in rows
            for shape in parts
        ],
        'imagePath': image_path,
        'imageData': None,
        'imageHeight': result.height,
        'imageWidth': result.width,
    }
    return json.dumps(content).encode()


def _masks(numbered: NumberedResult) -> Iterator[Sequence[dict[str, Any]]]:
    result = numbered.result
    for row, box in enumerate(result.boxes_xyxy_px.tolist()):
        x0, y0, x1, y1 = box
        png = encode_image('.png', result.lazy_map.mask(row, box).astype(np.uint8))
        corners = [[x0, y0], [x1 - 1, y1 - 1]]  # both inclusive
        mask = base64.b64encode(png).decode()
        yield [{'shape_type': 'mask', 'points': corners, 'mask': mask}]


def _polygons(numbered: NumberedResult) -> Iterator[Sequence[dict[str, Any]]]:
    for polygons in numbered.result.polygons():
        yield [
            {'shape_type': 'polygon', 'points': [list(p) for p in zip(line[::2], line[1::2])]}
            for line in polygons
        ]
