"""COCO's panoptic annotations: a PNG of each image, and one json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from mmentity.apis.export.formats.coco import xywh
from mmentity.apis.export.formats.images import DatasetImage, categories_of
from mmentity.apis.export.numbering import NumberedResult, encode_image
from mmentity.structures.id_map import colours_of_ids
from mmentity.utils.files import whole_file

LARGEST_ID = 256**3 - 1


def encode_panoptic(numbered: NumberedResult) -> bytes:
    """Encode the ids as colours, id = R + 256 G + 65536 B, 0 = no entity.

    Raises:
        ValueError: If an id does not fit into a colour, or a label has no class.
    """
    largest = int(numbered.ids.max(initial=0))
    if largest > LARGEST_ID:
        raise ValueError(
            f'{numbered.result.name} has ids up to {largest}, a panoptic PNG holds {LARGEST_ID}; '
            'keep fewer entities (a higher --score-thr or --min-area)'
        )
    numbered.result.class_names()  # raises where one has none
    return encode_image('.png', colours_of_ids(numbered.id_map(np.int32)))


def write_panoptic(
    images: Sequence[DatasetImage], classes: Sequence[str], path: Path, scratch: Path
) -> None:
    """Write the json of the PNGs.

    ``file_name`` of an annotation is below the folder that is called like the json, where COCO
    has its PNGs, or below the output folder where a layout put them elsewhere.
    """
    folder = f'{path.stem}/'
    inside = all(image.part.startswith(folder) for image in images)
    entries = []
    with whole_file(path, scratch) as partial, partial.open('wb') as stream:
        stream.write(b'{"annotations":[')
        for place, image in enumerate(images):
            record = image.record()
            entries.append(image.entry(record))
            annotation = {
                'image_id': image.image_id,
                'file_name': image.part[len(folder) :] if inside else image.part,
                'segments_info': [_segment(entity) for entity in record['entities']],
            }
            stream.write(b',\n' if place else b'\n')
            stream.write(orjson.dumps(annotation))
        things = [{**category, 'isthing': 1} for category in categories_of(classes)]
        stream.write(b'],\n"images":' + orjson.dumps(entries))
        stream.write(b',\n"categories":' + orjson.dumps(things) + b'}')


def _segment(entity: dict[str, Any]) -> dict[str, Any]:
    """Return one entity of a sidecar as a segment."""
    return {
        'id': entity['id'],
        'category_id': entity['label'] + 1,
        'area': entity['area'],
        'bbox': xywh(entity['box_xyxy']),
        'iscrowd': 0,
        'score': entity['score'],
    }
