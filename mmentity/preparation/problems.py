"""What can be wrong with a data set, and the report of a check."""

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from terminaltables import AsciiTable

from mmentity.utils.files import whole_file


class Kind(NamedTuple):
    """One kind of problem.

    Attributes:
        severity: ``'error'``: training or scoring fails or is wrong;
            ``'warning'``: it works, but look at it.
        meaning: What is wrong.
        mend: What to do.
    """

    severity: str
    meaning: str
    mend: str


KINDS = {
    'layout': Kind('error', 'a folder or file of the layout is missing', 'see docs/data.md'),
    'foreign-file': Kind(
        'warning', 'an annotation file of another name is not read', 'rename or move it'
    ),
    'both-names': Kind(
        'error', 'two files, one in each naming, differ', 'keep the one that you mean'
    ),
    'bad-json': Kind('error', 'an annotation file is damaged or incomplete', 'fetch it again'),
    'bad-entry': Kind('error', 'an entry lacks a field or has a wrong type', 'fetch it again'),
    'path-trick': Kind(
        'error', 'a file name leads out of its folder', 'use names below the folder'
    ),
    'missing-picture': Kind(
        'error', 'an entry has no picture', 'fetch it: mim run mmentity entityseg ROOT download'
    ),
    'bad-picture': Kind('error', 'a picture is truncated or no picture', 'fetch it again'),
    'picture-size': Kind(
        'error',
        'a picture has another size than its entry',
        'take the file that fits: *_lr.json belongs to images_lr',
    ),
    'unlisted-picture': Kind(
        'warning', 'no annotation file mentions a picture', 'nothing, if that is meant'
    ),
    'repeated-image-id': Kind('error', 'two pictures of a file share an id', 'number them anew'),
    'repeated-annotation-id': Kind('error', 'two annotations share an id', 'number them anew'),
    'repeated-picture': Kind('error', 'a file lists a picture twice', 'remove one entry'),
    'in-both-splits': Kind(
        'error', 'a picture is in training and validation', 'remove it from one of them'
    ),
    'merged-differs': Kind(
        'warning',
        'the merged file and those of the folders list different pictures',
        'make them from the same source',
    ),
    'unknown-image': Kind('error', 'an annotation is of no picture of its file', 'remove it'),
    'unknown-category': Kind(
        'error', 'a category id is not in the table of the task', 'see mmentity/datasets/categories'
    ),
    'no-entities': Kind(
        'warning', 'a picture has no entity', 'filter_cfg=dict(filter_empty_gt=True) leaves it out'
    ),
    'bad-mask': Kind('error', 'a mask cannot be read', 'fetch the json again'),
    'mask-size': Kind('error', 'a mask has another size than its picture', 'fetch the json again'),
    'empty-mask': Kind('error', 'a mask has no pixel', 'remove the annotation'),
    'overlap': Kind('warning', 'entities of a picture share pixels', 'give pixels to one of them'),
    'wrong-area': Kind('warning', 'an area is not that of its mask', 'count the pixels anew'),
    'wrong-box': Kind('warning', 'a box is not that of its mask', 'compute it anew'),
    'mostly-unlabelled': Kind(
        'warning', 'most of a picture belongs to no entity', 'look at it'
    ),
    'bad-list-line': Kind(
        'error', 'a line of a semantic list is not a picture and a map', 'mend the line'
    ),
    'missing-map': Kind('error', 'a map of the annotation does not exist', 'fetch it again'),
    'bad-map': Kind('error', 'a map cannot be read', 'fetch it again'),
    'map-size': Kind(
        'error', 'a map has another size than its picture', 'fetch picture and map again'
    ),
    'map-of-other-resolution': Kind(
        'error', 'a map fits the picture of the other resolution', 'set data_prefix to its folder'
    ),
    'unknown-class-in-map': Kind(
        'error', 'a semantic map has a class outside 0-149 and 255', 'fetch the map again'
    ),
    'segments-differ': Kind(
        'error', 'segments of the json and of the map differ', 'fetch json and maps together'
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: Key of :data:`KINDS`.
        file: Annotation file or folder, relative to the root.
        item: Picture, annotation or line.
        detail: What was found.
    """

    kind: str
    file: str
    item: str
    detail: str


@dataclass
class FileFigures:
    """What one annotation file holds.

    Attributes:
        file: Annotation file, relative to the root.
        pictures: Number of pictures.
        entities: Number of masks or segments.
        most: Most entities of a picture.
        unlabelled: Sum over pictures of the share of pixels without an entity.
        measured: Pictures of which that share is known.
        folders: Pictures by folder.
    """

    file: str
    pictures: int = 0
    entities: int = 0
    most: int = 0
    unlabelled: float = 0.0
    measured: int = 0
    folders: dict = field(default_factory=dict)


@dataclass
class Report:
    """Result of a check.

    Attributes:
        figures: One :class:`FileFigures` for each annotation file.
        problems: All problems.
        pictures: Number of picture files by folder.
    """

    figures: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    pictures: Counter = field(default_factory=Counter)

    @property
    def num_errors(self) -> int:
        """Number of problems that are errors."""
        return sum(KINDS[problem.kind].severity == 'error' for problem in self.problems)

    def exit_code(self, strict: bool = False) -> int:
        """Return 1 if there is an error, or with ``strict`` any problem, else 0."""
        return int(bool(self.problems) if strict else self.num_errors > 0)

    def tables(self, examples: int = 1) -> str:
        """Draw what was counted and what is wrong as two tables.

        Args:
            examples: Examples of each kind of problem.
        """
        parts = [self._counts_table()]
        if self.problems:
            parts.append(self._problems_table(examples))
        warnings = len(self.problems) - self.num_errors
        parts.append(f'{self.num_errors} errors, {warnings} warnings')
        return '\n'.join(parts)

    def _counts_table(self) -> str:
        rows = [
            ['annotation file', 'pictures', 'of folder', 'entities', 'mean', 'most', 'unlabelled']
        ]
        for row in self.figures:
            share = f'{100 * row.unlabelled / row.measured:.1f} %' if row.measured else '-'
            mean = f'{row.entities / row.pictures:.1f}' if row.pictures else '-'
            name = row.file.replace('annotations/', '', 1)
            folders = '\n'.join(f'{folder}: {n}' for folder, n in sorted(row.folders.items()))
            rows.append([name, row.pictures, folders, row.entities, mean, row.most, share])
        pictures = '\n'.join(
            f'{count:8d} in {name}' for name, count in sorted(self.pictures.items())
        )
        return f'{AsciiTable(rows).table}\npicture files:\n{pictures or "none"}'

    def _problems_table(self, examples: int) -> str:
        by_kind = defaultdict(list)
        for problem in self.problems:
            by_kind[problem.kind].append(problem)
        rows = [['', 'problem', 'count', 'what, and how to mend it']]
        for kind in sorted(by_kind, key=lambda kind: (KINDS[kind].severity, -len(by_kind[kind]))):
            text = [f'{KINDS[kind].meaning}; {KINDS[kind].mend}']
            for problem in by_kind[kind][:examples]:
                text.append(f'  {problem.file}, {problem.item}: {problem.detail}')
            rows.append([KINDS[kind].severity, kind, len(by_kind[kind]), '\n'.join(text)])
        return AsciiTable(rows).table

    def write(self, path: Path) -> None:
        """Write everything as json."""
        content = {
            'pictures': dict(self.pictures),
            'files': [asdict(row) for row in self.figures],
            'problems': [
                {'severity': KINDS[problem.kind].severity, **asdict(problem)}
                for problem in self.problems
            ],
        }
        with whole_file(path) as partial:
            partial.write_text(json.dumps(content, indent=1))
