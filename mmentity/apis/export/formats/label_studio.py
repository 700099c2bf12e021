"""Label Studio: tasks with predictions, of which masks are the strokes of a brush."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import orjson

from mmentity import __version__
from mmentity.apis.class_names import distinct_names
from mmentity.apis.export.formats.images import DatasetImage, image_file
from mmentity.apis.export.numbering import NumberedResult
from mmentity.utils.files import whole_file

# names of the two tags in the labeling interface
BRUSH, IMAGE = 'entities', 'image'
# bits of the length of a run - 1; a run takes the fewest that hold it
LENGTH_BITS = np.array([3, 4, 8, 16])
VALUE_BITS = 8
CHANNELS = 4


def encode_label_studio(numbered: NumberedResult, image_url: str) -> bytes:
    """Encode one image as a list of one task with a prediction.

    Args:
        numbered: The entities.
        image_url: What the address of an image begins with; its file follows, quoted.

    Raises:
        ValueError: If a label has no class.
    """
    result = numbered.result
    file = image_file(result.name, result.path, result.frame)
    rows = zip(numbered.record()['entities'], result.class_names())
    entities = [
        {
            'id': f'entity-{record["id"]}',
            'type': 'brushlabels',
            'from_name': BRUSH,
            'to_name': IMAGE,
            'origin': 'prediction',
            'original_width': result.width,
            'original_height': result.height,
            'image_rotation': 0,
            'score': record['score'],
            'value': {
                'format': 'rle',
                'rle': list(_brush(numbered, row)),
                'brushlabels': [name],
            },
        }
        for row, (record, name) in enumerate(rows)
    ]
    prediction: dict[str, Any] = {'model_version': f'mmentity {__version__}', 'result': entities}
    if len(result):
        prediction['score'] = round(float(result.scores.mean()), 6)
    return orjson.dumps([{'data': {IMAGE: image_url + quote(file)}, 'predictions': [prediction]}])


def brush_rle(mask: np.ndarray, corner: Sequence[int], height: int, width: int) -> bytes:
    """Encode a mask as the brush of Label Studio does: RGBA values, row by row, in runs.

    After a head (32 bits: number of values; 5: bits of a value - 1; 4 x 4: bits of
    lengths - 1) each run has a bit 1, 2 bits that choose the bits of its length, its
    length - 1, and its value.

    Args:
        mask: Pixels inside a box, bool ``(h, w)``.
        corner: ``x0``, ``y0`` of the box in px.
        height: Height of the image in px.
        width: Width of the image in px.
    """
    lengths, values = _runs(mask, corner, height, width)
    lengths, values = _split(lengths * CHANNELS, values, 1 << int(LENGTH_BITS[-1]))
    choice = np.searchsorted(1 << LENGTH_BITS, lengths)
    codes = 4 + choice
    codes = (codes << LENGTH_BITS[choice]) + lengths - 1
    codes = (codes << VALUE_BITS) + values
    total = height * width * CHANNELS
    head = [(total, 32), (VALUE_BITS - 1, 5), *((bits - 1, 4) for bits in LENGTH_BITS)]
    numbers = np.concatenate([[number for number, _ in head], codes])
    widths = np.concatenate([[bits for _, bits in head], 3 + LENGTH_BITS[choice] + VALUE_BITS])
    return np.packbits(_bits(numbers, widths)).tobytes()


def _runs(
    mask: np.ndarray, corner: Sequence[int], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return lengths in px and values 0 or 255 of the runs of an image, row by row."""
    x0, y0 = corner
    # a column of zeros keeps the runs of neighbouring rows apart
    rows = np.pad(mask, ((0, 0), (0, 1))).ravel().view(np.int8)
    change = np.flatnonzero(np.diff(rows, prepend=np.int8(0)))
    row, column = np.divmod(change, mask.shape[1] + 1)
    edges = np.concatenate(([0], (row + y0) * width + column + x0, [height * width]))
    lengths = np.diff(edges)
    values = np.where(np.arange(len(lengths)) % 2, 255, 0)
    filled = lengths > 0
    return lengths[filled], values[filled]


def _split(lengths: np.ndarray, values: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Split runs that are too long."""
    times = -(-lengths // longest)
    ends = np.cumsum(times) - 1
    pieces = np.full(int(times.sum()), longest)
    pieces[ends] = lengths - (times - 1) * longest
    return pieces, np.repeat(values, times)


def _bits(numbers: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Write numbers in so many bits each, highest first, one after the other."""
    places = np.arange(31, -1, -1)
    bits = (numbers[:, None] >> places) & 1
    return bits[places < widths[:, None]].astype(np.uint8)


def _brush(numbered: NumberedResult, row: int) -> bytes:
    result = numbered.result
    box = result.boxes_xyxy_px[row].tolist()
    return brush_rle(result.lazy_map.mask(row, box), box[:2], result.height, result.width)


def write_label_studio(
    images: Sequence[DatasetImage], classes: Sequence[str], path: Path, scratch: Path
) -> None:
    """Join the tasks of images, and write the labeling interface of the project beside them.

    Raises:
        ValueError: If a file is gone or damaged.
    """
    with whole_file(path, scratch) as partial, partial.open('wb') as stream:
        stream.write(b'[')
        for place, image in enumerate(images):
            stream.write(b',\n' if place else b'\n')
            stream.write(image.content(_tasks))
        stream.write(b'\n]')
    with whole_file(path.with_suffix('.xml'), scratch) as partial:
        partial.write_text(labeling_interface(classes), encoding='utf-8')


def _tasks(data: bytes) -> bytes:
    """Return what is inside of a list; what it holds is long, and stays as it is."""
    if not (data.startswith(b'[') and data.endswith(b']')):
        raise ValueError('it is no list of tasks')
    return data[1:-1]


def labeling_interface(classes: Sequence[str]) -> str:
    """Return the labeling interface of a project that shows the tasks."""
    view = ElementTree.Element('View')
    ElementTree.SubElement(view, 'Image', {'name': IMAGE, 'value': f'${IMAGE}', 'zoom': 'true'})
    brush = ElementTree.SubElement(view, 'BrushLabels', {'name': BRUSH, 'toName': IMAGE})
    for name in distinct_names(classes):
        ElementTree.SubElement(brush, 'Label', {'value': name})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding='unicode')
