"""The entries of one annotation file: what it lists, and what is wrong with that."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

from mmentity.datasets.base import load_annotations
from mmentity.datasets.categories import (
    entity_categories,
    instance_categories,
    panoptic_categories,
)
from mmentity.datasets.entityseg import parse_pair
from mmentity.datasets.errors import SampleError
from mmentity.datasets.geometry import Size
from mmentity.datasets.layout import AnnotationFile, image_folder
from mmentity.datasets.paths import join_inside
from mmentity.datasets.rules import check_image_size
from mmentity.preparation.annotation_forms import Json
from mmentity.preparation.check_samples import MapSample, MaskSample, Sample
from mmentity.preparation.parallel import Outcome
from mmentity.preparation.report import Problems

KEYS = ('images', 'annotations')


class _Entry(NamedTuple):
    """One image of a json: its name below ``images/``, its size in px, its annotations."""

    name: str
    size: Size
    annotations: list[Json]


class Entries:
    """What one annotation file lists, and what is wrong with its entries.

    Args:
        root: Folder of EntitySeg.
        file: The annotation file.
        probes: Size of each image file below ``images/``, or why it is unusable.
    """

    def __init__(self, root: Path, file: AnnotationFile, probes: Mapping[str, Outcome]) -> None:
        self.root, self.file, self.probes = root, file, probes
        self.problems = Problems(file.path.relative_to(root).as_posix())
        # how often each image is listed
        self.names: Counter[str] = Counter()
        self.samples: list[Sample] = []
        self.images: dict[Any, _Entry] = {}
        self.annotation_ids: set[Any] = set()
        self.readable = True
        if file.task == 'semantic':
            self._read_list()
        else:
            self._read_json()

    def _read_json(self) -> None:
        path = self.file.path
        try:
            content = load_annotations(str(path), KEYS)
            for key in KEYS:
                if not isinstance(content[key], list):
                    raise ValueError(f'{key!r} is not a list')
        except ValueError as error:
            self.problems.add('bad-json', path.name, str(error))
            self.readable = False
            return
        self.known = _known_categories(self.file.task, content)
        self._each('images', content, self._read_image)
        self._each('annotations', content, self._read_annotation)
        for image_id, entry in self.images.items():
            if not entry.annotations:
                self.problems.add('no-entities', entry.name, f'image id {image_id}')
            elif self.file.task != 'panoptic':
                self.samples.append(MaskSample(*entry))
            else:
                for row in entry.annotations:
                    self._add_map(entry.name, _map_name(row), entry.size, row['segments_info'])

    def _each(self, key: str, content: Json, read: Callable[[Json], None]) -> None:
        """Read all entries; those that lack a field or have a wrong type are reported."""
        for entry in content[key]:
            try:
                read(entry)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self.problems.add('bad-entry', str(entry)[:80], f'{error!r} in {key}')

    def _read_image(self, row: Json) -> None:
        image_id, name = row['id'], self.file.image_name(row['file_name'])
        size = int(row['height']), int(row['width'])
        if not isinstance(name, str):
            raise TypeError(f'file_name is {name!r}')
        if image_id in self.images:
            self.problems.add('repeated-image-id', name, f'id {image_id}')
        self.images.setdefault(image_id, _Entry(name, size, []))
        self._check_image(name, size, f'id {image_id}')

    def _read_annotation(self, row: Json) -> None:
        """Read an annotation, which has several segments in the panoptic task."""
        is_panoptic, image_id = self.file.task == 'panoptic', row['image_id']
        item = _map_name(row) if is_panoptic else f'annotation {row["id"]}'
        segments = row['segments_info'] if is_panoptic else [row]
        unknown = {segment['category_id'] for segment in segments} - self.known
        ids = {segment['id'] for segment in segments}
        if not is_panoptic:
            if 'segmentation' not in row:
                raise KeyError('segmentation')
            if ids & self.annotation_ids:
                self.problems.add('repeated-annotation-id', item, f'again, image {image_id}')
            self.annotation_ids |= ids
        if image_id in self.images:
            self.images[image_id].annotations.append(row)
        else:
            self.problems.add('unknown-image', item, f'image id {image_id}')
        for category_id in sorted(unknown):
            self.problems.add('unknown-category', item, f'category id {category_id}')

    def _read_list(self) -> None:
        """Read the list of the semantic task."""
        lines = self.file.path.read_text(encoding='utf-8', errors='replace').splitlines()
        for number, line in enumerate(lines, start=1):
            with self.problems.collecting(f'line {number}'):
                if line.strip():
                    pair = parse_pair(line)
                    name = self.file.image_name(pair.img)
                    size = self._check_image(name, None, f'line {number}')
                    self._add_map(name, pair.seg, size, None)

    def _check_image(self, name: str, size: Optional[Size], place: str) -> Optional[Size]:
        """Check that a listed image is new and as its entry says; return the size of its file."""
        if name in self.names:
            self.problems.add('repeated-image', name, f'again in {place}')
        self.names[name] += 1
        size_of_file = None
        with self.problems.collecting(name):
            path = join_inside(self.root / self.file.images, name)
            probe = self.probes.get(Path(name).as_posix())
            if probe is None:
                raise SampleError(f'{path} does not exist', 'missing-image')
            size_of_file = probe.value
            if size and size_of_file:
                check_image_size(path, size_of_file, size)
        return size_of_file

    def _add_map(
        self, name: str, map_name: str, size: Optional[Size], segments: Optional[list[Json]]
    ) -> None:
        other = self.root / image_folder(not self.file.low_resolution) / name
        with self.problems.collecting(map_name):
            path = join_inside(self.file.maps, map_name)
            self.samples.append(MapSample(map_name, path, size, str(other), segments))


def _map_name(row: Json) -> str:
    return str(Path(row['file_name']).with_suffix('.png'))


def _known_categories(task: str, content: Json) -> set[int]:
    """Category ids that an annotation file may use: those of the task that it lists."""
    known = {category['id'] for category in entity_categories()}
    if task != 'entity':
        table = instance_categories() if task == 'instance' else panoptic_categories()
        known = {category.id for category in table}
    listed = content.get('categories')
    if isinstance(listed, list) and listed:
        known &= {row['id'] for row in listed if isinstance(row, dict) and 'id' in row}
    return known
