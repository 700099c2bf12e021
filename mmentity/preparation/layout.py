"""EntitySeg's folders and file names, in either naming of the release."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

FOLDERS = {'01': 'entity_01_11580', '02': 'entity_02_11598', '03': 'entity_03_10049'}
SPLITS = ('train', 'val')
TASK_FOLDERS = {
    'entity': 'entity_segmentation',
    'instance': 'instance_segmentation',
    'semantic': 'semantic_segmentation',
    'panoptic': 'panoptic_segmentation',
}
_PART = '(?P<part>01|02|03|010203)'
_SPLIT = '(?P<split>train|val)'
_LR = '(?P<lr>_lr)?'
NAMES = {
    'entity': (
        rf'entityv2_{_PART}_entity_{_SPLIT}{_LR}\.json',
        rf'entityseg_{_SPLIT}(_(?P<part>01|02|03))?{_LR}\.json',
    ),
    'instance': (rf'entityv2_{_PART}_instances_{_SPLIT}{_LR}\.json',),
    'semantic': (rf'{_SPLIT}{_LR}\.txt',),
    'panoptic': (rf'entityv2_{_PART}_panoptic_{_SPLIT}{_LR}\.json',),
}


@dataclass(frozen=True)
class AnnotationFile:
    """One annotation file of EntitySeg.

    Attributes:
        path: The file.
        task: ``'entity'``, ``'instance'``, ``'semantic'`` or ``'panoptic'``.
        part: Folder of the pictures, ``'01'``..``'03'``, or ``'010203'`` for all.
        split: ``'train'`` or ``'val'``.
        low_resolution: Whether it belongs to ``images_lr``.
    """

    path: Path
    task: str
    part: str
    split: str
    low_resolution: bool

    @property
    def images(self) -> str:
        """Name of the folder where the file names of its pictures begin."""
        return 'images_lr' if self.low_resolution else 'images'

    def picture_name(self, file_name: str) -> str:
        """Name of a picture below ``images/`` or ``images_lr/``.

        File names of the class-aware tasks begin inside the folder of their part.
        """
        folder = FOLDERS.get(self.part)
        if self.task == 'entity' or not folder or file_name.startswith(f'{folder}/'):
            return file_name
        return f'{folder}/{file_name}'

    @property
    def maps(self) -> Path:
        """Folder of the maps of a semantic or panoptic file."""
        end = '_lr' if self.low_resolution else ''
        return self.path.parent / f'{self.task}_maps_{self.split}{end}'

    def with_low_resolution(self) -> 'AnnotationFile':
        """Name the file of the low-resolution pictures."""
        path = self.path.with_name(f'{self.path.stem}_lr{self.path.suffix}')
        return AnnotationFile(path, self.task, self.part, self.split, True)


def parse_name(path: Path, task: str) -> Optional[AnnotationFile]:
    """Read what the name of an annotation file says, or None for another name.

    Examples:
        >>> parse_name(Path('entityseg_val_lr.json'), 'entity').part
        '010203'
    """
    for pattern in NAMES[task]:
        match = re.fullmatch(pattern, path.name)
        if match:
            fields = match.groupdict()
            part = '01' if task == 'semantic' else fields['part'] or '010203'
            return AnnotationFile(path, task, part, fields['split'], bool(fields['lr']))
    return None


def original_entity_files(root: Path) -> list:
    """Entity annotation files of the original pictures, :class:`AnnotationFile` in order."""
    return [
        file
        for _, file in annotation_files(root)
        if file and file.task == 'entity' and not file.low_resolution
    ]


def annotation_files(root: Path) -> Iterator[tuple]:
    """Go through the annotation files of EntitySeg in order.

    Yields:
        Path and :class:`AnnotationFile`, or path and None for a json or txt
        file of another name.
    """
    for task, folder in TASK_FOLDERS.items():
        for path in sorted((Path(root) / 'annotations' / folder).glob('*.*')):
            if path.suffix in ('.json', '.txt') and '.partial-' not in path.name:
                yield path, parse_name(path, task)
