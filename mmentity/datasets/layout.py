"""EntitySeg's folders and file names, in either naming of the release."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

from mmentity.utils.files import is_partial

FOLDERS = {'01': 'entity_01_11580', '02': 'entity_02_11598', '03': 'entity_03_10049'}
# number of all folders together
MERGED = '010203'
# the folder whose images have annotations of every task
CLASS_AWARE = '01'
SPLITS = ('train', 'val')
TASK_FOLDERS = {
    'entity': 'entity_segmentation',
    'instance': 'instance_segmentation',
    'semantic': 'semantic_segmentation',
    'panoptic': 'panoptic_segmentation',
}
# how the file names of the json files call the tasks
_TASK_NAMES = {'entity': 'entity', 'instance': 'instances', 'panoptic': 'panoptic'}
_PART = '(?P<part>01|02|03|010203)'
_SPLIT = '(?P<split>train|val)'
_LR = '(?P<lr>_lr)?'
_PATTERNS = {
    **{
        task: [rf'entityv2_{_PART}_{name}_{_SPLIT}{_LR}\.json']
        for task, name in _TASK_NAMES.items()
    },
    'semantic': [rf'{_SPLIT}{_LR}\.txt'],
}
_SHORT_PATTERN = rf'entityseg_{_SPLIT}(_(?P<part>01|02|03))?{_LR}\.json'
_PATTERNS['entity'].append(_SHORT_PATTERN)


class AnnotationFile(NamedTuple):
    """One annotation file of EntitySeg.

    Attributes:
        path: The file.
        task: ``'entity'``, ``'instance'``, ``'semantic'`` or ``'panoptic'``.
        part: Folder of the images, ``'01'``..``'03'``, or ``'010203'`` for all.
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
        """Name of the folder where the file names of its images begin."""
        return image_folder(self.low_resolution)

    @property
    def maps(self) -> Path:
        """Folder of the maps of a semantic or panoptic file."""
        end = '_lr' if self.low_resolution else ''
        return self.path.parent / f'{self.task}_maps_{self.split}{end}'

    def image_name(self, file_name: str) -> str:
        """Name of an image below ``images/`` or ``images_lr/``.

        File names of the class-aware tasks begin inside the folder of their part.
        """
        folder = FOLDERS.get(self.part)
        if self.task == 'entity' or not folder or file_name.startswith(f'{folder}/'):
            return file_name
        return f'{folder}/{file_name}'

    def with_low_resolution(self) -> 'AnnotationFile':
        """Name the file of the low-resolution images."""
        path = self.path.with_name(f'{self.path.stem}_lr{self.path.suffix}')
        return self._replace(path=path, low_resolution=True)


def image_folder(low_resolution: bool) -> str:
    """Name of the folder of all images in one resolution."""
    return 'images_lr' if low_resolution else 'images'


def annotation_file(
    annotations: Path, task: str, part: str, split: str, low_resolution: bool = False
) -> AnnotationFile:
    """Name an annotation file as the release does.

    Args:
        annotations: Folder of the annotations of all tasks.
        task: As in :class:`AnnotationFile`.
        part: Likewise; a semantic file has none in its name.
        split: Likewise.
        low_resolution: Likewise.
    """
    end = '_lr' if low_resolution else ''
    name = f'{split}{end}.txt'
    if task != 'semantic':
        name = f'entityv2_{part}_{_TASK_NAMES[task]}_{split}{end}.json'
    path = Path(annotations) / TASK_FOLDERS[task] / name
    return AnnotationFile(path, task, part, split, low_resolution)


def parse_name(path: Path, task: str) -> Optional[AnnotationFile]:
    """Read what the name of an annotation file says, or None for another name.

    Examples:
        >>> parse_name(Path('entityseg_val_lr.json'), 'entity').part
        '010203'
    """
    for pattern in _PATTERNS[task]:
        match = re.fullmatch(pattern, path.name)
        if match:
            fields = match.groupdict()
            part = fields.get('part') or (CLASS_AWARE if task == 'semantic' else MERGED)
            return AnnotationFile(path, task, part, fields['split'], bool(fields['lr']))
    return None


def other_family_name(name: str) -> Optional[str]:
    """Translate an annotation file name between the two families of the release.

    Returns:
        The other name, or None where there is none.

    Examples:
        >>> other_family_name('entityv2_010203_entity_val_lr.json')
        'entityseg_val_lr.json'
        >>> other_family_name('entityseg_train_02.json')
        'entityv2_02_entity_train.json'
    """
    file = parse_name(Path(name), 'entity')
    if file is None:
        return None
    if re.fullmatch(_SHORT_PATTERN, name):
        return annotation_file(Path(), *file[1:]).path.name
    part = '' if file.part == MERGED else f'_{file.part}'
    return f'entityseg_{file.split}{part}{"_lr" if file.low_resolution else ""}.json'


def annotation_files(root: Path) -> Iterator[tuple[Path, Optional[AnnotationFile]]]:
    """Go through the annotation files of EntitySeg in order.

    Yields:
        Path and :class:`AnnotationFile`, or path and None for a json or txt
        file of another name.
    """
    for task, folder in TASK_FOLDERS.items():
        for path in sorted((Path(root) / 'annotations' / folder).glob('*.*')):
            if path.suffix in ('.json', '.txt') and not is_partial(path):
                yield path, parse_name(path, task)


def entity_files(root: Path, low_resolution: bool = False) -> list[AnnotationFile]:
    """List the entity annotation files of one resolution in order."""
    return [
        file
        for _, file in annotation_files(root)
        if file and file.task == 'entity' and file.low_resolution == low_resolution
    ]
