"""COCO's instance annotations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from mmentity.apis.export.formats.images import (
    DatasetImage,
    categories_of,
    image_file,
)
from mmentity.apis.export.numbering import NumberedResult
from mmentity.utils.files import whole_file


def encode_coco(numbered: NumberedResult, polygons: bool) -> bytes:
    """Encode one image as a data set of its own, whose image has the id 1.

    Beside what COCO has, annotations have ``score``, and ``entity_id``, the id in
    other files.

    Args:
        numbered: The entities.
        polygons: Whether masks are polygons instead of RLE.

    Raises:
        ValueError: If a label has no class.
    """
    result = numbered.result
    result.class_names()  # raises where one has none
    masks: Sequence[Any] = result.polygons() if polygons else result.rles()
    image = {
        'id': 1,
        'file_name': image_file(result.name, result.path, result.frame),
        'width': result.width,
        'height': result.height,
    }
    annotations = [
        coco_annotation(record, mask) for record, mask in zip(numbered.record()['entities'], masks)
    ]
    return orjson.dumps(
        {
            'images': [image],
            'annotations': annotations,
            'categories': categories_of(result.classes),
        }
    )


def coco_annotation(record: dict[str, Any], segmentation: Any) -> dict[str, Any]:
    """Return one entity as an annotation of image 1.

    Args:
        record: Row of the sidecar.
        segmentation: RLE, or polygons.
    """
    return {
        'id': record['id'],
        'image_id': 1,
        'category_id': record['label'] + 1,
        'segmentation': segmentation,
        'area': record['area'],
        'bbox': xywh(record['box_xyxy']),
        'iscrowd': 0,
        'score': record['score'],
        'entity_id': record['id'],
    }


def xywh(box_xyxy: Sequence[int]) -> list[int]:
    """Return a box as COCO has it, px."""
    x0, y0, x1, y1 = box_xyxy
    return [x0, y0, x1 - x0, y1 - y0]


def write_coco(
    images: Sequence[DatasetImage], classes: Sequence[str], path: Path, scratch: Path
) -> None:
    """Join the files of images into one data set, reading one after the other.

    Raises:
        ValueError: If a file is gone or damaged.
    """
    entries, number = [], 0
    with whole_file(path, scratch) as partial, partial.open('wb') as stream:
        stream.write(b'{"annotations":[')
        for image in images:
            entries.append(image.entry(image.record()))
            for annotation in image.content(orjson.loads)['annotations']:
                number += 1
                annotation.update(id=number, image_id=image.image_id)
                stream.write(b',\n' if number > 1 else b'\n')
                stream.write(orjson.dumps(annotation))
        stream.write(b'],\n"images":' + orjson.dumps(entries))
        stream.write(b',\n"categories":' + orjson.dumps(categories_of(classes)) + b'}')
