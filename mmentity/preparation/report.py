"""The kinds of problems of a data set, and the report of a check."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional, Union

from terminaltables import AsciiTable

from mmentity.datasets.errors import SampleError
from mmentity.utils.files import write_json

HEADER = ['annotation file', 'images', 'of folder', 'entities', 'mean', 'most', 'unlabelled']
# training or scoring fails or is wrong
ERRORS = {
    'layout': 'a folder or file of the layout is missing; see docs/data.md',
    'both-names': 'two files, one in each naming, differ; keep the one that you mean',
    'bad-json': 'an annotation file is damaged or incomplete; download it again',
    'bad-entry': 'an entry lacks a field or has a wrong type; download it again',
    'unsafe-path': 'a file name is absolute or has ..; use names below the folder',
    'missing-image': 'an entry has no image; run: mim run mmentity entityseg ROOT download',
    'bad-image': 'an image is truncated, not an image or too large; as its line says',
    'image-size': 'an image has another size than its entry; *_lr.json belongs to images_lr',
    'repeated-image-id': 'two images of a file share an id; number them anew',
    'repeated-annotation-id': 'two annotations share an id; number them anew',
    'repeated-image': 'a file lists an image twice; remove one entry',
    'in-both-splits': 'an image is in training and validation; remove it from one of them',
    'unknown-image': 'an annotation is of no image of its file; remove it',
    'unknown-category': 'a category id is not of the task; see mmentity/datasets/categories',
    'bad-mask': 'a mask cannot be read; download the json again',
    'mask-size': 'a mask has another size than its image; download the json again',
    'empty-mask': 'a mask has no pixel; remove the annotation',
    'bad-list-line': 'a line of a semantic list is not an image and a map; fix the line',
    'missing-map': 'a map of the annotation does not exist; download it again',
    'bad-map': 'a map cannot be read; download it again',
    'map-size': 'a map has another size than its image; download image and map again',
    'map-of-other-resolution': 'a map fits the other resolution; set data_prefix to its folder',
    'unknown-class-in-map': 'a semantic map has a class outside 0-149 and 255; download it again',
    'segments-differ': 'segments of json and map differ; download json and maps together',
}
# it works, but look at it
WARNINGS = {
    'foreign-file': 'an annotation file of another name is not read; rename or move it',
    'unlisted-image': 'no annotation file mentions an image; nothing, if that is meant',
    'merged-differs': 'merged and folder files list different images; make both from one source',
    'no-entities': 'an image has no entity; filter_cfg=dict(filter_empty_gt=True) skips it',
    'overlap': 'entities of an image share pixels; give pixels to one of them',
    'wrong-area': 'an area is not that of its mask; count the pixels anew',
    'wrong-box': 'a box is not that of its mask; compute it anew',
    'mostly-unlabelled': 'most of an image belongs to no entity; look at it',
}
# kinds of problems: what is wrong, and what to do
KINDS = {**ERRORS, **WARNINGS}


class Problem(NamedTuple):
    """One thing that is wrong: a key of :data:`KINDS`, where, and what was found.

    ``file`` is an annotation file or folder below the root, ``item`` an image,
    annotation or line of it.
    """

    kind: str
    file: str
    item: str
    detail: str

    @property
    def severity(self) -> str:
        """``'error'`` or ``'warning'``."""
        return 'error' if self.kind in ERRORS else 'warning'


class Problems(list[Problem]):
    """The problems of one annotation file or folder, as they are found."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def add(self, kind: str, item: str, detail: str) -> None:
        """Add one problem."""
        self.append(Problem(kind, self.file, item, detail))

    @contextmanager
    def collecting(self, item: str) -> Iterator[None]:
        """Add the error of the rule that the block applies."""
        try:
            yield
        except SampleError as error:
            self.add(error.kind, item, str(error))


class SampleSummary(NamedTuple):
    """What was found in one sample; None where a mask or map cannot be read."""

    problems: list[Problem]
    entities: Optional[int]  # masks, segments or classes
    unlabelled: Optional[float]  # share of pixels without an entity, 0..1


class FileCounts(NamedTuple):
    """Numbers of images and entities in one annotation file, which is named below the root."""

    file: str
    images: int
    entities: int
    most: int  # of an image
    unlabelled: float  # sum over images of the share of pixels without an entity, 0..1
    measured: int  # images of which that share is known
    folders: dict[str, int]  # images of each

    @classmethod
    def of(
        cls, file: str, images: Mapping[str, int], samples: Sequence[SampleSummary]
    ) -> 'FileCounts':
        """Count the images, of which each name is listed some times, and their entities."""
        folders: Counter[str] = Counter()
        for name, times in images.items():
            folders[Path(name).parent.as_posix()] += times
        entities = [sample.entities for sample in samples if sample.entities is not None]
        shares = [sample.unlabelled for sample in samples if sample.unlabelled is not None]
        most = max(entities, default=0)
        total = sum(images.values())
        return cls(file, total, sum(entities), most, sum(shares, 0.0), len(shares), dict(folders))

    def row(self) -> list:
        """Return the row of the table, below :data:`HEADER`."""
        return [
            self.file.replace('annotations/', '', 1),
            self.images,
            '\n'.join(f'{folder}: {number}' for folder, number in sorted(self.folders.items())),
            self.entities,
            f'{self.entities / self.images:.1f}' if self.images else '-',
            self.most,
            f'{100 * self.unlabelled / self.measured:.1f} %' if self.measured else '-',
        ]


@dataclass
class Report:
    """Counts of each annotation file, all problems, and the image files of each folder."""

    counts: list[FileCounts] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    images: Counter[str] = field(default_factory=Counter)

    @property
    def num_errors(self) -> int:
        """Number of problems that are errors."""
        return sum(problem.severity == 'error' for problem in self.problems)

    def exit_code(self, strict: bool = False) -> int:
        """Return 1 if there is an error, or with ``strict`` any problem, else 0."""
        return int(bool(self.problems) if strict else self.num_errors > 0)

    def tables(self, examples: int = 1) -> str:
        """Format what was counted and what is wrong, with some examples of each kind."""
        table = AsciiTable([HEADER, *(counts.row() for counts in self.counts)]).table
        images = '\n'.join(f'{count:8d} in {name}' for name, count in sorted(self.images.items()))
        parts = [table, 'image files:', images or 'none']
        if self.problems:
            parts.append(self._problems_table(examples))
        warnings = len(self.problems) - self.num_errors
        parts.append(f'{self.num_errors} errors, {warnings} warnings')
        return '\n'.join(parts)

    def _problems_table(self, examples: int) -> str:
        by_kind: dict[str, list[Problem]] = defaultdict(list)
        for problem in self.problems:
            by_kind[problem.kind].append(problem)
        rows = [['', 'problem', 'count', 'what, and how to fix it']]
        groups = by_kind.values()
        for problems in sorted(groups, key=lambda group: (group[0].severity, -len(group))):
            first = problems[0]
            text = [KINDS[first.kind]]
            text += [f'  {p.file}, {p.item}: {p.detail}' for p in problems[:examples]]
            rows.append([first.severity, first.kind, str(len(problems)), '\n'.join(text)])
        return AsciiTable(rows).table

    def write(self, path: Union[str, Path]) -> None:
        """Write everything as json."""
        problems = [{'severity': p.severity, **p._asdict()} for p in self.problems]
        files = [counts._asdict() for counts in self.counts]
        write_json(path, {'images': self.images, 'files': files, 'problems': problems}, indent=1)
