"""Check of EntitySeg: every file, every entry, every mask.

Single samples are checked by the rules of the loader (``check_samples``), the
entries of a file in ``check_entries``; this module adds what shows in the whole
set only.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Optional, Union

from mmentity.datasets.layout import (
    FOLDERS,
    MERGED,
    SPLITS,
    TASK_FOLDERS,
    AnnotationFile,
    annotation_files,
    other_family_name,
)
from mmentity.datasets.paths import files_below
from mmentity.datasets.rules import probe_image
from mmentity.preparation.check_entries import Entries
from mmentity.preparation.check_samples import check_sample
from mmentity.preparation.parallel import Outcome, attempt, run_parallel
from mmentity.preparation.report import FileCounts, Problem, Report
from mmentity.utils.files import IMAGE_SUFFIXES, is_partial


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

    Raises:
        FileNotFoundError: If there is no such folder.

    Examples:
        >>> report = check_entityseg('data/entityseg')
        >>> report.exit_code()
        0
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(f'{root} is not a folder; give the one that holds images/')
    return _Check(Path(root), max_unlabelled, workers).run(tasks)


class _Check:
    def __init__(self, root: Path, max_unlabelled: float, workers: Optional[int]) -> None:
        self.root, self.max_unlabelled, self.workers = root, max_unlabelled, workers
        self.report = Report()
        # for each folder of images, the size of each file, or why it is unusable
        self.images: dict[str, dict[str, Outcome]] = {}
        # for each annotation file, the names of the images that it lists
        self.listed: dict[AnnotationFile, set[str]] = {}

    def run(self, tasks: Sequence[str]) -> Report:
        files = self._find_files(tasks)
        for folder in sorted({file.images for file in files}):
            self._probe_images(folder)
        for file in files:
            self._check_file(file)
        self._compare_files(files)
        self._find_unlisted()
        self.report.problems = [
            problem._replace(detail=problem.detail.replace(f'{self.root}/', ''))
            for problem in self.report.problems
        ]
        return self.report

    def add(self, kind: str, path: Path, item: str, detail: str) -> None:
        file = path.relative_to(self.root).as_posix()
        self.report.problems.append(Problem(kind, file, item, detail))

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

    def _probe_images(self, folder: str) -> None:
        base = self.root / folder
        paths = sorted(
            path
            for path in files_below(base)
            if path.suffix.lower() in IMAGE_SUFFIXES and not is_partial(path)
        )
        names = [path.relative_to(base).as_posix() for path in paths]
        probe, title = partial(attempt, probe_image), f'images of {folder}'
        probes = run_parallel(probe, list(map(str, paths)), self.workers, title, 16)
        self.images[folder] = dict(zip(names, probes))
        for name, (_, fault) in self.images[folder].items():
            self.report.images[f'{folder}/{Path(name).parent}'] += 1
            if fault:
                self.add('bad-image', base, name, fault)

    def _check_file(self, file: AnnotationFile) -> None:
        entries = Entries(self.root, file, self.images[file.images])
        problems = entries.problems
        if entries.readable:
            check, title = partial(check_sample, problems.file), f'annotations of {file.path.name}'
            samples = list(run_parallel(check, entries.samples, self.workers, title, 16))
            self.listed[file] = set(entries.names)
            self.report.counts.append(FileCounts.of(problems.file, entries.names, samples))
            for sample, summary in zip(entries.samples, samples):
                problems += summary.problems
                # class-aware annotations have no entity where no class of the task is
                share = summary.unlabelled if file.task == 'entity' else None
                if share is not None and share > self.max_unlabelled:
                    problems.add('mostly-unlabelled', sample.name, f'{100 * share:.1f} %')
        self.report.problems += problems

    def _compare_files(self, files: list[AnnotationFile]) -> None:
        """Compare files that belong together."""
        for task, low_resolution in product(TASK_FOLDERS, (False, True)):
            group = {
                (file.split, file.part): file
                for file in self.listed
                if (file.task, file.low_resolution) == (task, low_resolution)
            }
            names: dict[str, set[str]] = {split: set() for split in SPLITS}
            for file in group.values():
                names[file.split] |= self.listed[file]
            for name in sorted(set.intersection(*names.values())):
                self.add('in-both-splits', file.path.parent, name, f'{file.images}/{name}')
            for split in SPLITS:
                parts = [group[split, part] for part in FOLDERS if (split, part) in group]
                if (split, MERGED) in group and len(parts) == len(FOLDERS):
                    self._compare_merged(group[split, MERGED], parts)
        for file in files:
            other = other_family_name(file.path.name) if file.task == 'entity' else None
            second = file.path.with_name(other or file.path.name)
            is_first = file.path < second and second.is_file()
            if is_first and file.path.read_bytes() != second.read_bytes():
                self.add('both-names', file.path, file.path.name, f'differs from {other}')

    def _compare_merged(self, merged: AnnotationFile, parts: list[AnnotationFile]) -> None:
        in_merged, in_parts = (
            self.listed[merged],
            set().union(*(self.listed[file] for file in parts)),
        )
        for name in sorted(in_merged ^ in_parts):
            place = 'the merged file only' if name in in_merged else 'the file of a folder only'
            self.add('merged-differs', merged.path, name, f'is in {place}')

    def _find_unlisted(self) -> None:
        for folder, images in self.images.items():
            listed = [names for file, names in self.listed.items() if file.images == folder]
            for name in sorted(set(images).difference(*listed)):
                self.add('unlisted-image', self.root / folder, name, 'in no annotation file')
