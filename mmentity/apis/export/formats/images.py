"""The images of a data set, as its files name and number them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Optional, TypeVar

import orjson

from mmentity.apis.class_names import distinct_names
from mmentity.apis.inputs import natural_key

Parsed = TypeVar('Parsed')


def image_file(name: str, path: Optional[str], frame: Optional[int] = None) -> str:
    """Return the file of an image below the folder that its name is relative to.

    Args:
        name: Name of the image, without suffix.
        path: Its file, or the video or image file that it is a frame of.
        frame: Number of the frame, which has no file of its own, and so no suffix.

    Examples:
        >>> image_file('a/0', '/data/a/0.jpg')
        'a/0.jpg'
    """
    return name if path is None or frame is not None else name + PurePosixPath(path).suffix


class DatasetImage(NamedTuple):
    """One image of a data set.

    Attributes:
        image_id: Number of the image.
        out: Output folder.
        sidecar: Path of its sidecar.
        part: Path of its file of the format, below the output folder.
    """

    image_id: int
    out: Path
    sidecar: Path
    part: str

    def record(self) -> dict[str, Any]:
        """Read the sidecar."""
        return orjson.loads(self.sidecar.read_bytes())

    def content(self, parse: Callable[[bytes], Parsed]) -> Parsed:
        """Read its file of the format.

        Args:
            parse: Reads the bytes.

        Raises:
            ValueError: If it is not there any more, or damaged.
        """
        path = self.out / self.part
        again = 'run again with --skip-existing'
        try:
            return parse(path.read_bytes())
        except FileNotFoundError as error:
            raise ValueError(
                f'{path} is not there any more, though {self.sidecar} lists it; {again}, or '
                'remove that file too if its image is not wanted'
            ) from error
        except (ValueError, SyntaxError) as error:  # of json and of XML
            raise ValueError(f'{path} is damaged ({error}); remove it and {again}') from error

    def entry(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the image as COCO lists it.

        Args:
            record: Content of the sidecar.
        """
        source = record.get('source') or {}
        return {
            'id': self.image_id,
            'file_name': image_file(record['name'], source.get('path'), source.get('frame')),
            'width': record['width'],
            'height': record['height'],
        }


# the images, names of classes by label, where it goes, and the scratch folder
DatasetWriter = Callable[[Sequence[DatasetImage], Sequence[str], Path, Path], None]


def find_images(
    out: Path, sidecars: Iterable[Path], key: str, num_classes: int
) -> list[DatasetImage]:
    """List the images in an output folder that have a format, in natural order.

    Args:
        out: The output folder.
        sidecars: Sidecars in it.
        key: The format.
        num_classes: Classes of the model.

    Raises:
        ValueError: If entities are of other classes.
    """
    named = []
    for path, record in _with(sidecars, key):
        largest = max((entity['label'] for entity in record['entities']), default=0)
        if largest >= num_classes:
            raise ValueError(
                f'{path} has an entity of class {largest + 1}, but this model knows {num_classes}; '
                'it is of another model: choose another --out, or remove it'
            )
        named.append((record['name'], path, record['files'][key]))
    named.sort(key=lambda row: natural_key(row[0]))
    numbers = image_numbers([name for name, *_ in named])
    return [
        DatasetImage(number, out, sidecar, part)
        for number, (_, sidecar, part) in zip(numbers, named)
    ]


def _with(sidecars: Iterable[Path], key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sidecars:
        record = orjson.loads(path.read_bytes())
        if isinstance(record, dict) and key in record.get('files', ()):
            yield path, record


def image_numbers(names: Sequence[str]) -> list[int]:
    """Number images: by their file names where all are different numbers, else from 1.

    Images of COCO are named by their ids.

    Args:
        names: Names of images, with folders.
    """
    stems = [name.rpartition('/')[2] for name in names]
    if all(stem.isascii() and stem.isdecimal() for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(names) + 1))


def categories_of(classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the classes as COCO lists them; the id of a category is its label + 1."""
    return [
        {'id': number, 'name': name, 'supercategory': name}
        for number, name in enumerate(distinct_names(classes), start=1)
    ]
