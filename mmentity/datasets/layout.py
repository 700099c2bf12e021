"""EntitySeg's folders and file names, in either naming of the release."""

from collections.abc import Iterator
from itertools import product
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
# file names in the naming of the release, then in that of its public copy
NAMES = {
    'entity': ('entityv2_{part}_entity_{split}{lr}.json', 'entityseg_{split}{_part}{lr}.json'),
    'instance': ('entityv2_{part}_instances_{split}{lr}.json',),
    'semantic': ('{split}{lr}.txt',),
    'panoptic': ('entityv2_{part}_panoptic_{split}{lr}.json',),
}


class AnnotationFile(NamedTuple):
    """One annotation file of EntitySeg, and what its name says."""

    path: Path
    task: str  # a key of TASK_FOLDERS
    part: str  # a key of FOLDERS, or MERGED
    split: str  # one of SPLITS
    low_resolution: bool  # whether it belongs to images_lr

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
    """Name an annotation file below the folder of all annotations, as the release does."""
    name = _names(task, part, split, low_resolution)[0]
    path = Path(annotations) / TASK_FOLDERS[task] / name
    return AnnotationFile(path, task, part, split, low_resolution)


def _names(task: str, part: str, split: str, low_resolution: bool) -> list[str]:
    """File names of an annotation file in each naming."""
    end = '' if part == MERGED else f'_{part}'
    fields = {'part': part, '_part': end, 'split': split, 'lr': '_lr' if low_resolution else ''}
    return [name.format(**fields) for name in NAMES[task]]


def parse_name(path: Path, task: str) -> Optional[AnnotationFile]:
    """Read what the name of an annotation file says, or None for another name.

    Examples:
        >>> parse_name(Path('entityseg_val_lr.json'), 'entity').part
        '010203'
    """
    # a semantic file has no part in its name, and is of the first one
    for fields in product((*FOLDERS, MERGED), SPLITS, (False, True)):
        if path.name in _names(task, *fields):
            return AnnotationFile(path, task, *fields)
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
    names = _names(*file[1:]) if file else []
    return next((other for other in names if other != name), None)


def annotation_files(root: Path) -> Iterator[tuple[Path, Optional[AnnotationFile]]]:
    """Go through the annotation files of EntitySeg in order.

    Yields:
        Path of a json or txt file, and what its name says; None for another name.
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
