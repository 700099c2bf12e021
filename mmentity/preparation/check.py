"""Check of EntitySeg: every file, every entry, every mask."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmentity.datasets.base import load_annotations
from mmentity.datasets.categories import (
    entity_categories,
    instance_categories,
    panoptic_categories,
)
from mmentity.datasets.entityseg import other_family_name
from mmentity.datasets.paths import check_links, join_inside
from mmentity.preparation.check_files import Masks, check_masks, inspect_picture
from mmentity.preparation.check_maps import MapTask, check_map
from mmentity.preparation.layout import TASK_FOLDERS, AnnotationFile, annotation_files
from mmentity.preparation.parallel import default_workers, run_parallel
from mmentity.preparation.problems import FileFigures, Problem, Report

PICTURE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff'}


def check_entityseg(
    root: str,
    tasks: Sequence[str] = tuple(TASK_FOLDERS),
    max_unlabelled: float = 0.5,
    workers: Optional[int] = None,
) -> Report:
    """Check a copy of EntitySeg before training on it.

    Pictures are decoded coarsely, each once; masks are checked on their runs.

    Args:
        root: Folder of EntitySeg.
        tasks: Annotations to check, of ``'entity'``, ``'instance'``,
            ``'semantic'`` and ``'panoptic'``.
        max_unlabelled: Share of pixels without an entity above which a picture
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
        raise FileNotFoundError(f'{root} is no folder; give the one that holds images/')
    return _Check(Path(root), max_unlabelled, workers or default_workers()).run(tasks)


class _Check:
    def __init__(self, root: Path, max_unlabelled: float, workers: int) -> None:
        self.root = root
        self.max_unlabelled = max_unlabelled
        self.workers = workers
        self.report = Report()
        self.pictures = {}
        # names of the pictures that each annotation file lists
        self.listed = {}

    def run(self, tasks: Sequence[str]) -> Report:
        files = self._layout(tasks)
        self._inspect_pictures({file.images for file in files})
        for file in files:
            if file.task in ('entity', 'instance'):
                self._check_instances(file)
            elif file.task == 'panoptic':
                self._check_panoptic(file)
            else:
                self._check_semantic(file)
        self._compare_files(files)
        self._find_unlisted()
        return self.report

    def found(self, kind: str, file: Path, item: object, detail: str) -> None:
        """Note one problem."""
        self.report.problems.append(Problem(kind, self.name_of(file), str(item), detail))

    def name_of(self, path: Path) -> str:
        """Name of a file below the root."""
        return Path(path).relative_to(self.root).as_posix()

    def _layout(self, tasks: Sequence[str]) -> list:
        files = []
        for path, file in annotation_files(self.root):
            if file is None:
                self.found('foreign-file', path, path.name, 'the name is of neither naming')
            elif file.task in tasks:
                files.append(file)
        if not files:
            folders = ' or '.join(f'annotations/{TASK_FOLDERS[task]}' for task in tasks)
            self.found('layout', self.root, folders, 'holds no annotation file')
        for folder in sorted({file.images for file in files}):
            if not (self.root / folder).is_dir():
                self.found('layout', self.root, folder, 'an annotation file needs this folder')
        return files

    def _inspect_pictures(self, folders: set) -> None:
        for folder in sorted(folders):
            base = self.root / folder
            paths = sorted(
                path
                for path in base.rglob('*')
                if path.suffix.lower() in PICTURE_SUFFIXES and '.partial-' not in path.name
            )
            names = [path.relative_to(base).as_posix() for path in paths]
            results = run_parallel(
                inspect_picture, list(map(str, paths)), self.workers, f'pictures of {folder}', 16
            )
            self.pictures[folder] = {name: result for result, name in zip(results, names)}
            for name, picture in self.pictures[folder].items():
                self.report.pictures[f'{folder}/{Path(name).parent}'] += 1
                if picture.fault:
                    self.found('bad-picture', base, name, picture.fault)

    def _check_instances(self, file: AnnotationFile) -> None:
        content = self.load(file.path, ('images', 'annotations'))
        if content is None:
            return
        figures = self._new_figures(file)
        images = self.check_images(file, content['images'], figures)
        rows = self._check_annotations(file, content, images)
        masks = []
        for image_id, (name, height, width) in images.items():
            own = rows.get(image_id, [])
            figures.entities += len(own)
            figures.most = max(figures.most, len(own))
            if own:
                masks.append((name, Masks(height, width, own)))
            else:
                self.found('no-entities', file.path, name, f'image id {image_id}')
        self._check_masks(file, figures, masks)

    def _check_masks(self, file: AnnotationFile, figures: FileFigures, masks: list) -> None:
        results = run_parallel(
            check_masks, [m for _, m in masks], self.workers, f'masks of {file.path.name}', 16
        )
        for (problems, share), (name, _) in zip(results, masks):
            for kind, item, detail in problems:
                self.found(kind, file.path, f'{name}, {item}', detail)
            if share is None:
                continue
            figures.unlabelled += share
            figures.measured += 1
            # class-aware annotations leave out what has no class
            if share > self.max_unlabelled and file.task == 'entity':
                self.found('mostly-unlabelled', file.path, name, f'{100 * share:.1f} %')

    def _new_figures(self, file: AnnotationFile) -> FileFigures:
        figures = FileFigures(self.name_of(file.path))
        self.report.figures.append(figures)
        return figures

    def load(self, path: Path, needed: Sequence[str]) -> Optional[dict]:
        """Load a json, or note why it cannot be and return None."""
        try:
            content = load_annotations(str(path), needed)
        except ValueError as error:
            self.found('bad-json', path, path.name, str(error))
            return None
        wrong = [key for key in needed if not isinstance(content[key], list)]
        if wrong:
            self.found('bad-json', path, path.name, f'{wrong[0]!r} is no list')
            return None
        return content

    def check_images(self, file: AnnotationFile, entries: list, figures: FileFigures) -> dict:
        """Check the entries of pictures.

        Returns:
            Name, height and width of each picture by image id.
        """
        images, names = {}, self.listed.setdefault(file, set())
        for entry in entries:
            try:
                image_id, name = entry['id'], file.picture_name(entry['file_name'])
                height, width = int(entry['height']), int(entry['width'])
                hash(image_id)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self.found('bad-entry', file.path, str(entry)[:80], f'{error!r} in images')
                continue
            if image_id in images:
                self.found('repeated-image-id', file.path, name, f'id {image_id}')
            if name in names:
                self.found('repeated-picture', file.path, name, f'again under id {image_id}')
            images.setdefault(image_id, (name, height, width))
            names.add(name)
            figures.pictures += 1
            folder = str(Path(str(name)).parent)
            figures.folders[folder] = figures.folders.get(folder, 0) + 1
            self.check_picture(file, name, (height, width))
        return images

    def check_picture(
        self, file: AnnotationFile, name: str, size: Optional[tuple] = None
    ) -> Optional[tuple]:
        """Check that a picture is there and has the size of its entry; return its size."""
        folder = self.root / file.images
        try:
            path = join_inside(folder, name)
            check_links(folder, path)
        except ValueError as error:
            self.found('path-trick', file.path, name, str(error))
            return None
        picture = self.pictures.get(file.images, {}).get(Path(name).as_posix())
        if picture is None:
            self.found('missing-picture', file.path, name, f'{self.name_of(path)} does not exist')
            return None
        if None not in (size, picture.size) and picture.size != size:
            self.found(
                'picture-size',
                file.path,
                name,
                f'the picture is {_size(picture.size)}, its entry says {_size(size)}',
            )
        return picture.size

    def _check_annotations(self, file: AnnotationFile, content: dict, images: dict) -> dict:
        known = known_categories(file.task, content)
        rows, ids = defaultdict(list), set()
        for entry in content['annotations']:
            try:
                number, image_id = entry['id'], entry['image_id']
                category_id, segmentation = entry['category_id'], entry['segmentation']
                hash((number, image_id, category_id))
            except (KeyError, TypeError) as error:
                self.found('bad-entry', file.path, str(entry)[:80], f'{error!r} in annotations')
                continue
            item = f'annotation {number}'
            if number in ids:
                self.found('repeated-annotation-id', file.path, item, f'again, image {image_id}')
            ids.add(number)
            if image_id not in images:
                self.found('unknown-image', file.path, item, f'image id {image_id}')
                continue
            if category_id not in known:
                self.found('unknown-category', file.path, item, f'category id {category_id}')
            rows[image_id].append((item, segmentation, entry.get('area'), entry.get('bbox')))
        return rows

    def _check_panoptic(self, file: AnnotationFile) -> None:
        content = self.load(file.path, ('images', 'annotations'))
        if content is None:
            return
        figures = self._new_figures(file)
        images = self.check_images(file, content['images'], figures)
        known = known_categories(file.task, content)
        tasks, without = [], dict(images)
        for entry in content['annotations']:
            try:
                image_id, segments = entry['image_id'], entry['segments_info']
                map_name = str(Path(entry['file_name']).with_suffix('.png'))
                areas = {segment['id']: segment.get('area') for segment in segments}
                category_ids = [segment['category_id'] for segment in segments]
                hash((image_id, *category_ids))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self.found('bad-entry', file.path, str(entry)[:80], f'{error!r} in annotations')
                continue
            if image_id not in images:
                self.found('unknown-image', file.path, map_name, f'image id {image_id}')
                continue
            for category_id in sorted(set(category_ids) - known):
                self.found('unknown-category', file.path, map_name, f'category id {category_id}')
            name, *size = images[image_id]
            without.pop(image_id, None)
            tasks.append((map_name, self._map_task(file, name, map_name, tuple(size), areas)))
        for image_id, (name, _, _) in without.items():
            self.found('no-entities', file.path, name, f'image id {image_id}')
        self._check_maps(file, figures, tasks)

    def _check_semantic(self, file: AnnotationFile) -> None:
        figures = self._new_figures(file)
        names, tasks = self.listed.setdefault(file, set()), []
        lines = file.path.read_text(encoding='utf-8', errors='replace').splitlines()
        for number, line in enumerate(lines, start=1):
            pair = line.split()
            if len(pair) != 2:
                if pair:
                    self.found('bad-list-line', file.path, f'line {number}', repr(line[:80]))
                continue
            name, map_name = file.picture_name(pair[0]), pair[1]
            if name in names:
                self.found('repeated-picture', file.path, name, f'again in line {number}')
            names.add(name)
            figures.pictures += 1
            folder = str(Path(name).parent)
            figures.folders[folder] = figures.folders.get(folder, 0) + 1
            size = self.check_picture(file, name)
            tasks.append((map_name, self._map_task(file, name, map_name, size, None)))
        self._check_maps(file, figures, tasks)

    def _map_task(
        self,
        file: AnnotationFile,
        name: str,
        map_name: str,
        size: Optional[tuple],
        segments: Optional[dict],
    ) -> Optional[MapTask]:
        try:
            path = join_inside(file.maps, map_name)
            check_links(file.maps, path)
        except ValueError as error:
            self.found('path-trick', file.path, map_name, str(error))
            return None
        other = 'images' if file.low_resolution else 'images_lr'
        return MapTask(path, size, str(self.root / other / name), segments)

    def _check_maps(self, file: AnnotationFile, figures: FileFigures, tasks: list) -> None:
        tasks = [(name, task) for name, task in tasks if task is not None]
        results = run_parallel(
            check_map, [task for _, task in tasks], self.workers, f'maps of {file.path.name}', 16
        )
        for (problems, count, share), (name, _) in zip(results, tasks):
            for kind, detail in problems:
                self.found(kind, file.path, name, detail)
            if count is not None:
                figures.entities += count
                figures.most = max(figures.most, count)
                figures.unlabelled += share
                figures.measured += 1

    def _compare_files(self, files: list) -> None:
        """Compare what files list that belong together."""
        groups = defaultdict(dict)
        for file in files:
            other = other_family_name(file.path.name) if file.task == 'entity' else None
            if other and file.path.name < other and (file.path.parent / other).is_file():
                self._compare_namings(file.path, file.path.with_name(other))
            groups[file.task, file.low_resolution][file.split, file.part] = file
        for group in groups.values():
            by_split = {
                split: [self.listed.get(f, set()) for (s, _), f in group.items() if s == split]
                for split in ('train', 'val')
            }
            train, val = (set().union(*by_split[split]) for split in ('train', 'val'))
            file = next(iter(group.values()))
            for name in sorted(map(str, train & val)):
                self.found('in-both-splits', file.path.parent, name, f'{file.images}/{name}')
            for split in ('train', 'val'):
                self._compare_merged(group, split)

    def _compare_namings(self, first: Path, second: Path) -> None:
        if first.read_bytes() != second.read_bytes():
            self.found('both-names', first, first.name, f'differs from {second.name}')

    def _compare_merged(self, group: dict, split: str) -> None:
        files = [group.get((split, part)) for part in ('010203', '01', '02', '03')]
        if not all(file in self.listed for file in files):
            return
        merged = self.listed[files[0]]
        parts = set().union(*(self.listed[file] for file in files[1:]))
        for name in sorted(map(str, merged ^ parts)):
            place = 'the merged file only' if name in merged else 'the file of a folder only'
            self.found('merged-differs', files[0].path, name, f'is in {place}')

    def _find_unlisted(self) -> None:
        for folder, pictures in self.pictures.items():
            listed = set().union(
                *(names for file, names in self.listed.items() if file.images == folder)
            )
            for name in sorted(set(pictures) - listed):
                self.found('unlisted-picture', self.root / folder, name, 'in no annotation file')


def known_categories(task: str, content: dict) -> set:
    """Category ids that an annotation file may use: those of the task that it lists."""
    known = {category['id'] for category in entity_categories()}
    if task in ('instance', 'panoptic'):
        table = instance_categories() if task == 'instance' else panoptic_categories()
        known = {category.id for category in table}
    listed = content.get('categories')
    if isinstance(listed, list) and listed:
        known &= {row['id'] for row in listed if isinstance(row, dict) and 'id' in row}
    return known


def _size(size: tuple) -> str:
    return f'{size[0]}x{size[1]} (height x width)'
