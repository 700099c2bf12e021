"""CVAT for images, XML 1.1, with masks."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from mmentity.apis.class_names import distinct_names
from mmentity.apis.export.formats.images import DatasetImage, image_file
from mmentity.apis.export.numbering import NumberedResult
from mmentity.datasets.errors import SampleError
from mmentity.utils.files import whole_file

ATTRIBUTES = ('score', 'entity_id')
TAIL = b'</annotations>\n'
# what XML 1.0 cannot hold, not even escaped
NO_XML = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')


def encode_cvat(numbered: NumberedResult) -> bytes:
    """Encode one image as the annotations of a task of its own.

    Raises:
        SampleError: If the name of the image has characters that XML does not have.
        ValueError: If a label has no class.
    """
    result = numbered.result
    name = image_file(result.name, result.path, result.frame)
    if NO_XML.search(name):
        raise SampleError(
            f'the file name {name!r} has control characters, which the XML of CVAT cannot hold; '
            'rename it, or leave out the format cvat',
            'bad-name',
        )
    size = {'width': str(result.width), 'height': str(result.height)}
    image = ElementTree.Element('image', {'id': '0', 'name': name, **size})
    rows = zip(numbered.record()['entities'], result.class_names())
    for row, (record, label) in enumerate(rows):
        x0, y0, x1, y1 = record['box_xyxy']
        mask = ElementTree.SubElement(
            image,
            'mask',
            {
                'label': label,
                'source': 'auto',
                'occluded': '0',
                'rle': ', '.join(map(str, _row_runs(result.lazy_map.mask(row, (x0, y0, x1, y1))))),
                'left': str(x0),
                'top': str(y0),
                'width': str(x1 - x0),
                'height': str(y1 - y0),
                'z_order': '0',
            },
        )
        for attribute, value in zip(ATTRIBUTES, (record['score'], record['id'])):
            ElementTree.SubElement(mask, 'attribute', {'name': attribute}).text = str(value)
    return _head(result.classes, 1) + _text(image) + TAIL


def write_cvat(
    images: Sequence[DatasetImage], classes: Sequence[str], path: Path, scratch: Path
) -> None:
    """Join the files of images into the annotations of one task, reading one after the other.

    Raises:
        ValueError: If a file is gone or damaged.
    """
    with whole_file(path, scratch) as partial, partial.open('wb') as stream:
        stream.write(_head(classes, len(images)))
        for number, image in enumerate(images):
            element = image.content(_image_of)
            element.set('id', str(number))
            stream.write(_text(element))
        stream.write(TAIL)


def _image_of(data: bytes) -> ElementTree.Element:
    image = ElementTree.fromstring(data).find('image')
    if image is None:
        raise ValueError('it has no image')
    return image


def _head(classes: Sequence[str], size: int) -> bytes:
    """Open the file, with the labels of the task as its settings have them."""
    meta = ElementTree.Element('meta')
    task = ElementTree.SubElement(meta, 'task')
    for tag, text in (('name', 'entities'), ('size', str(size)), ('mode', 'annotation')):
        ElementTree.SubElement(task, tag).text = text
    labels = ElementTree.SubElement(task, 'labels')
    for name in distinct_names(classes):
        label = ElementTree.SubElement(labels, 'label')
        ElementTree.SubElement(label, 'name').text = name
        ElementTree.SubElement(label, 'type').text = 'mask'
        attributes = ElementTree.SubElement(label, 'attributes')
        for attribute in ATTRIBUTES:
            element = ElementTree.SubElement(attributes, 'attribute')
            for tag, text in (('name', attribute), ('mutable', 'False'), ('input_type', 'text')):
                ElementTree.SubElement(element, tag).text = text
            ElementTree.SubElement(element, 'default_value')
            ElementTree.SubElement(element, 'values')
    opening = b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    return opening + _text(meta)


def _text(element: ElementTree.Element) -> bytes:
    return ElementTree.tostring(element, encoding='unicode').strip().encode() + b'\n'


def _row_runs(mask: np.ndarray) -> list[int]:
    """Return the lengths of runs of a mask row by row, the first of background, perhaps 0."""
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    return [0, *runs] if flat[0] else runs
