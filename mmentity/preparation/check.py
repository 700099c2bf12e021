"""Check of EntitySeg: every file, every entry, every mask.

Single samples are checked by the rules of the loader (``check_samples``); this
module adds what shows in the whole set only.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from mmentity.datasets.base import load_annotations
from mmentity.datasets.categories import (
    entity_categories,
    instance_categories,
    panoptic_categories,
)
from mmentity.datasets.entityseg import parse_pair
from mmentity.datasets.errors import SampleError
from mmentity.datasets.geometry import Size
from mmentity.datasets.layout import (
    FOLDERS,
    MERGED,
    SPLITS,
    TASK_FOLDERS,
    AnnotationFile,
    annotation_files,
    image_folder,
    other_family_name,
)
from mmentity.datasets.paths import files_below, join_inside
from mmentity.datasets.rules import check_image_size, probe_image
from mmentity.preparation.check_samples import (
    Json,
    MapSample,
    MaskSample,
    check_sample,
)
from mmentity.preparation.parallel import Outcome, attempt, default_workers, run_parallel
from mmentity.preparation.report import FileCounts, Problem, Report
from mmentity.utils.files import IMAGE_SUFFIXES, is_partial

KEYS = ('images', 'annotations')


def check_entityseg(
    root: Union[str, Path],
    tasks: Sequence[str] = tuple(TASK_FOLDERS),
    max_unlabelled: float = 0.5,
    workers: Optional[int] = None,
) -> Report:
    """Check a copy of EntitySeg before training on it.

    Images are decoded coarsely, each once; masks are checked on their runs.

    Args:
        root: Folder of EntitySeg.
        tasks: Annotations to check, of ``'entity'``, ``'instance'``,
            ``'semantic'`` and ``'panoptic'``.
        max_unlabelled: Share of pixels without an entity above which an image
            is reported, 0..1.
        workers: Processes; by default one for each processor.

    Returns:
        :class:`Report` with the counts and everything that is wrong.

    Raises:
        FileNotFoundError: If there is no such folder.

    Examples:
        >>> report = check_entityseg('data/entityseg')
        >>> report.exit_code()
        0
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(f'{root} is not a folder; give the one that holds images/')
    return _Check(Path(root), max_unlabelled, workers or default_workers()).run(tasks)


class _Check:
    """The check of a whole set.

    Attributes:
        report: What was found.
        images: For each folder of images, the size of each file, or why it is unusable.
        listed: For each annotation file, the names of the images that it lists.
    """

    def __init__(self, root: Path, max_unlabelled: float, workers: int) -> None:
        self.root = root
        self.max_unlabelled = max_unlabelled
        self.workers = workers
        self.report = Report()
        self.images: dict[str, dict[str, Outcome]] = {}
        self.listed: dict[AnnotationFile, set[str]] = {}

    def run(self, tasks: Sequence[str]) -> Report:
        files = self._find_files(tasks)
        for folder in sorted({file.images for file in files}):
            self._inspect_images(folder)
        for file in files:
            _FileCheck(self, file).run()
        self._compare_files(files)
        self._find_unlisted()
        return self.report

    def add(self, kind: str, file: Path, item: str, detail: str) -> None:
        """Add a problem to the report."""
        detail = detail.replace(f'{self.root}/', '')
        self.report.problems.append(Problem(kind, self.name_of(file), item, detail))

    def name_of(self, path: Path) -> str:
        """Name of a file below the root."""
        return path.relative_to(self.root).as_posix()

    def _find_files(self, tasks: Sequence[str]) -> list[AnnotationFile]:
        files = []
        for path, file in annotation_files(self.root):
            if file is None:
                self.add('foreign-file', path, path.name, 'the name is of neither naming')
            elif file.task in tasks:
                files.append(file)
        if not files:
            folders = ' or '.join(f'annotations/{TASK_FOLDERS[task]}' for task in tasks)
            self.add('layout', self.root, folders, 'holds no annotation file')
        for folder in sorted({file.images for file in files}):
            if not (self.root / folder).is_dir():
                self.add('layout', self.root, folder, 'an annotation file needs this folder')
        return files

    def _inspect_images(self, folder: str) -> None:
        base = self.root / folder
        paths = sorted(
            path
            for path in files_below(base)
            if path.suffix.lower() in IMAGE_SUFFIXES and not is_partial(path)
        )
        names = [path.relative_to(base).as_posix() for path in paths]
        title = f'images of {folder}'
        probe = partial(attempt, probe_image)
        probes = run_parallel(probe, list(map(str, paths)), self.workers, title, 16)
        self.images[folder] = dict(zip(names, probes))
        for name, (_, fault) in self.images[folder].items():
            self.report.images[f'{folder}/{Path(name).parent}'] += 1
            if fault:
                self.add('bad-image', base, name, fault)

    def _compare_files(self, files: list[AnnotationFile]) -> None:
        """Compare files that belong together."""
        groups: dict[tuple, dict[tuple, AnnotationFile]] = defaultdict(dict)
        for file in files:
            if file.task == 'entity':
                self._compare_namings(file.path)
            groups[file.task, file.low_resolution][file.split, file.part] = file
        for group in groups.values():
            names: dict[str, set[str]] = {split: set() for split in SPLITS}
            for (split, _), file in group.items():
                names[split] |= self.listed.get(file, set())
            file = next(iter(group.values()))
            for name in sorted(set.intersection(*names.values())):
                self.add('in-both-splits', file.path.parent, name, f'{file.images}/{name}')
            for split in SPLITS:
                self._compare_merged([group.get((split, part)) for part in (MERGED, *FOLDERS)])

    def _compare_namings(self, path: Path) -> None:
        other = other_family_name(path.name)
        second = path.with_name(other or path.name)
        if path < second and second.is_file() and path.read_bytes() != second.read_bytes():
            self.add('both-names', path, path.name, f'differs from {other}')

    def _compare_merged(self, files: list[Optional[AnnotationFile]]) -> None:
        """Compare the images of the first file, which is the merged one, with the others."""
        present = [file for file in files if file in self.listed]
        if len(present) < len(files):
            return
        merged, *parts = (self.listed[file] for file in present)
        for name in sorted(merged ^ set().union(*parts)):
            place = 'the merged file only' if name in merged else 'the file of a folder only'
            self.add('merged-differs', present[0].path, name, f'is in {place}')

    def _find_unlisted(self) -> None:
        for folder, images in self.images.items():
            listed = [names for file, names in self.listed.items() if file.images == folder]
            for name in sorted(set(images).difference(*listed)):
                self.add('unlisted-image', self.root / folder, name, 'in no annotation file')


class _Entry(NamedTuple):
    """One image of an annotation file: its name below ``images/`` and its size."""

    name: str
    size: Size


class _FileCheck:
    """The check of one annotation file."""

    def __init__(self, check: _Check, file: AnnotationFile) -> None:
        self.check = check
        self.file = file
        self.counts = FileCounts(check.name_of(file.path))
        self.names: set[str] = set()
        self.images: dict[Any, _Entry] = {}
        self.samples: list[tuple[str, Union[MaskSample, MapSample]]] = []

    def run(self) -> None:
        if self.file.task == 'semantic':
            self._read_list()
        elif not self._read_json():
            return
        self.check.listed[self.file] = self.names
        self.check.report.counts.append(self.counts)
        self._check_samples()

    def add(self, kind: str, item: str, detail: str) -> None:
        self.check.add(kind, self.file.path, item, detail)

    def _read_json(self) -> bool:
        """Read the entries; tell whether the file can be read at all."""
        path = self.file.path
        try:
            content = load_annotations(str(path), KEYS)
            for key in KEYS:
                if not isinstance(content[key], list):
                    raise ValueError(f'{key!r} is not a list')
        except ValueError as error:
            self.add('bad-json', path.name, str(error))
            return False
        known = _known_categories(self.file.task, content)
        self._each('images', content, self._read_image)
        if self.file.task == 'panoptic':
            annotated: set = set()
            self._each('annotations', content, lambda e: self._read_segments(e, known, annotated))
        else:
            annotated = self._read_masks(content, known)
        for image_id, (name, _) in self.images.items():
            if image_id not in annotated:
                self.add('no-entities', name, f'image id {image_id}')
        return True

    def _each(self, key: str, content: Json, read: Callable[[Json], None]) -> None:
        """Read all entries; those that lack a field or have a wrong type are reported."""
        for entry in content[key]:
            try:
                read(entry)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self.add('bad-entry', str(entry)[:80], f'{error!r} in {key}')

    def _read_image(self, entry: Json) -> None:
        image_id, name = entry['id'], self.file.image_name(entry['file_name'])
        size = int(entry['height']), int(entry['width'])
        if not isinstance(name, str):
            raise TypeError(f'file_name is {name!r}')
        if image_id in self.images:
            self.add('repeated-image-id', name, f'id {image_id}')
        self.images.setdefault(image_id, _Entry(name, size))
        self._check_image(name, size, f'id {image_id}')

    def _read_masks(self, content: Json, known: set[int]) -> set:
        """Read the annotations of the entity or instance task; return the image ids."""
        rows: dict[Any, list[Json]] = defaultdict(list)
        ids: set = set()

        def read(entry: Json) -> None:
            number, image_id, category_id = entry['id'], entry['image_id'], entry['category_id']
            if 'segmentation' not in entry:
                raise KeyError('segmentation')
            item = f'annotation {number}'
            problems = (
                ('repeated-annotation-id', number in ids, f'again, image {image_id}'),
                ('unknown-image', image_id not in self.images, f'image id {image_id}'),
                ('unknown-category', category_id not in known, f'category id {category_id}'),
            )
            for kind, found, detail in problems:
                if found:
                    self.add(kind, item, detail)
            ids.add(number)
            if image_id in self.images:
                rows[image_id].append(entry)

        self._each('annotations', content, read)
        for image_id, (name, size) in self.images.items():
            if image_id in rows:
                self.samples.append((name, MaskSample(size, rows[image_id])))
        return set(rows)

    def _read_segments(self, entry: Json, known: set[int], annotated: set) -> None:
        """Read one annotation of the panoptic task."""
        image_id, segments = entry['image_id'], entry['segments_info']
        map_name = str(Path(entry['file_name']).with_suffix('.png'))
        unknown = {segment['category_id'] for segment in segments} - known
        hash(tuple(segment['id'] for segment in segments))
        if image_id not in self.images:
            self.add('unknown-image', map_name, f'image id {image_id}')
            return
        for category_id in sorted(unknown):
            self.add('unknown-category', map_name, f'category id {category_id}')
        annotated.add(image_id)
        name, size = self.images[image_id]
        self._add_map(name, map_name, size, segments)

    def _read_list(self) -> None:
        """Read the list of the semantic task."""
        lines = self.file.path.read_text(encoding='utf-8', errors='replace').splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            with self._collecting(f'line {number}'):
                pair = parse_pair(line)
                name = self.file.image_name(pair.img)
                size = self._check_image(name, None, f'line {number}')
                self._add_map(name, pair.seg, size, None)

    def _check_image(self, name: str, size: Optional[Size], place: str) -> Optional[Size]:
        """Check that a listed image is new, exists, and has the size of its entry.

        Returns:
            Size of the file, where it is known.
        """
        if name in self.names:
            self.add('repeated-image', name, f'again in {place}')
        self.names.add(name)
        self.counts.add_image(name)
        size_of_file = None
        with self._collecting(name):
            path = Path(join_inside(self.check.root / self.file.images, name))
            probe = self.check.images.get(self.file.images, {}).get(Path(name).as_posix())
            if probe is None:
                raise SampleError(f'{path} does not exist', 'missing-image')
            size_of_file = probe.value
            if size and size_of_file:
                check_image_size(str(path), size_of_file, size)
        return size_of_file

    def _add_map(
        self, name: str, map_name: str, size: Optional[Size], segments: Optional[list[Json]]
    ) -> None:
        other = self.check.root / image_folder(not self.file.low_resolution) / name
        with self._collecting(map_name):
            sample = MapSample(join_inside(self.file.maps, map_name), size, str(other), segments)
            self.samples.append((map_name, sample))

    @contextmanager
    def _collecting(self, item: str) -> Iterator[None]:
        """Report the error of a rule."""
        try:
            yield
        except SampleError as error:
            self.add(error.kind, item, str(error))

    def _check_samples(self) -> None:
        samples = [sample for _, sample in self.samples]
        title = f'annotations of {self.file.path.name}'
        summaries = run_parallel(check_sample, samples, self.check.workers, title, 16)
        for (findings, entities, unlabelled), (name, _) in zip(summaries, self.samples):
            self.counts.add_sample(entities, unlabelled)
            for kind, item, detail in findings:
                self.add(kind, f'{name}, {item}' if item else name, detail)
            # class-aware annotations have no entity where no class of the task is
            share = unlabelled if self.file.task == 'entity' and unlabelled else 0.0
            if share > self.check.max_unlabelled:
                self.add('mostly-unlabelled', name, f'{100 * share:.1f} %')


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
