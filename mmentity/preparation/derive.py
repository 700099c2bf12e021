"""EntitySeg's class-aware annotations, derived from its entity annotations."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
from PIL import Image

from mmentity.datasets.base import load_annotations
from mmentity.datasets.paths import check_links, join_inside
from mmentity.preparation.annotation_forms import (
    instance_json,
    panoptic_json,
    panoptic_segments,
    semantic_map,
)
from mmentity.preparation.layout import (
    FOLDERS,
    SPLITS,
    TASK_FOLDERS,
    AnnotationFile,
    annotation_files,
)
from mmentity.preparation.parallel import default_workers, run_resumable
from mmentity.structures import EntityMap
from mmentity.utils.files import whole_file

PART = '01'
KEYS = ('id', 'image_id', 'category_id', 'segmentation', 'area', 'bbox', 'iscrowd')


@dataclass
class DeriveReport:
    """What was derived.

    Attributes:
        files: Written annotation files.
        skipped: Annotation files that were there already.
        pictures: Number of pictures.
        faults: One sentence for each picture that is left out.
    """

    files: list = field(default_factory=list)
    skipped: list = field(default_factory=list)
    pictures: int = 0
    faults: list = field(default_factory=list)


def derive_annotations(
    root: str,
    out: Optional[str] = None,
    low_resolution: bool = False,
    overwrite: bool = False,
    workers: Optional[int] = None,
) -> DeriveReport:
    """Derive instance, semantic and panoptic annotations from the entity ones.

    As the release has them, they cover the first folder of pictures, and what
    is not in the category table of a task is left out of it. A killed run goes
    on where it was; pictures whose annotations are unusable are left out and
    reported.

    Args:
        root: Folder of EntitySeg.
        out: Folder for the annotations of the three tasks; by default
            ``annotations/`` of the root.
        low_resolution: Whether to start from the entity annotations of the
            low-resolution pictures; file names then end in ``_lr``.
        overwrite: Make a split again that is there.
        workers: Processes; by default one for each processor.

    Returns:
        :class:`DeriveReport`.

    Raises:
        FileNotFoundError: If there are no entity annotations of the folder.
        ValueError: If the entity annotations are class-agnostic.

    Examples:
        >>> derive_annotations('data/entityseg').faults
        []
    """
    root = Path(root)
    out = Path(out) if out else root / 'annotations'
    report, found = DeriveReport(), False
    for split in SPLITS:
        source = _source(root, split, low_resolution)
        if source is None:
            continue
        found = True
        targets = _Targets(out, split, low_resolution)
        there = [str(path) for path in targets.files if path.is_file()]
        if there and not overwrite:
            report.skipped += there
        else:
            _derive_split(source, targets, workers or default_workers(), report)
    if not found:
        raise FileNotFoundError(
            f'{root}/annotations/entity_segmentation holds no entity annotations of '
            f'{FOLDERS[PART]}; see docs/data.md for the layout'
        )
    return report


def _source(root: Path, split: str, low_resolution: bool) -> Optional[AnnotationFile]:
    """The entity file of the folder, or else the merged one."""
    files = {
        file.part: file
        for _, file in annotation_files(root)
        if file
        and (file.task, file.split, file.low_resolution) == ('entity', split, low_resolution)
    }
    return files.get(PART) or files.get('010203')


class _Targets:
    """Names of the files of one split."""

    def __init__(self, out: Path, split: str, low_resolution: bool) -> None:
        end = '_lr' if low_resolution else ''
        folders = {task: out / folder for task, folder in TASK_FOLDERS.items()}
        self.instance = folders['instance'] / f'entityv2_{PART}_instances_{split}{end}.json'
        self.panoptic = folders['panoptic'] / f'entityv2_{PART}_panoptic_{split}{end}.json'
        self.semantic = folders['semantic'] / f'{split}{end}.txt'
        self.panoptic_maps = folders['panoptic'] / f'panoptic_maps_{split}{end}'
        self.semantic_maps = folders['semantic'] / f'semantic_maps_{split}{end}'
        self.files = (self.instance, self.panoptic, self.semantic)
        self.store = out / '.derive'


def _derive_split(
    source: AnnotationFile, targets: _Targets, workers: int, report: DeriveReport
) -> None:
    content = load_annotations(str(source.path), ('images', 'annotations'))
    images, rows = _of_part(content, source.path)
    folders = [str(targets.panoptic_maps), str(targets.semantic_maps)]
    tasks = [[folders, image, rows[image['id']]] for image in images]
    results = run_resumable(write_maps, tasks, workers, source.path.name, targets.store)
    kept, infos, instances = [], [], []
    for (segments_info, fault), image in zip(results, images):
        if fault:
            report.faults.append(fault)
            continue
        kept.append(image)
        infos.append(segments_info)
        instances += rows[image['id']]
    _write_json(targets.instance, instance_json(kept, instances))
    _write_json(targets.panoptic, panoptic_json(kept, infos))
    with whole_file(targets.semantic) as partial:
        names = [image['file_name'] for image in kept]
        partial.write_text(''.join(f'{name} {_map_name(name)}\n' for name in names))
    report.files += [str(path) for path in targets.files]
    report.pictures += len(kept)
    shutil.rmtree(targets.store, ignore_errors=True)


def _of_part(content: dict, path: Path) -> tuple:
    """Pictures of the folder, named inside it, and their annotations by image id."""
    prefix = f'{FOLDERS[PART]}/'
    images = [
        {
            'id': image['id'],
            'file_name': image['file_name'].removeprefix(prefix),
            'height': image['height'],
            'width': image['width'],
        }
        for image in content['images']
        if image['file_name'].startswith(prefix)
    ]
    rows = {image['id']: [] for image in images}
    for annotation in content['annotations']:
        if annotation['image_id'] in rows:
            row = {key: annotation[key] for key in KEYS if key in annotation}
            row['category_id'] = class_of(annotation, path)
            rows[annotation['image_id']].append(row)
    classes = {row['category_id'] for own in rows.values() for row in own}
    if len(classes) == 1 and sum(map(len, rows.values())) > 100:
        raise ValueError(
            f'all entities of {path} are of category {classes.pop()}: the file is class-agnostic; '
            'take the one whose category ids are those of the 644 categories'
        )
    return images, rows


def class_of(annotation: dict, path: Path) -> int:
    """Id of an annotation in the entity table.

    Some files of the release keep a class-agnostic ``category_id`` and the
    class in ``category_id_ori``.

    Raises:
        ValueError: If the class is no number.
    """
    category_id = annotation.get('category_id_ori', annotation['category_id'])
    try:
        return int(category_id)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'annotation {annotation["id"]} of {path} has the class {category_id!r}; classes are '
            'known by their id, as names repeat'
        ) from error


def write_maps(tasks: Sequence) -> list:
    """Write the panoptic and semantic maps of some pictures.

    Args:
        tasks: Folders of both kinds of maps, entry of the picture and its
            annotations, for each.

    Returns:
        For each: ``segments_info``, and what went wrong or ''.
    """
    results = []
    for folders, image, rows in tasks:
        try:
            results.append((_write_maps(folders, image, rows), ''))
        except (ValueError, KeyError, TypeError) as error:
            fault = f'{image["file_name"]} (image id {image["id"]}) is left out: {error}'
            results.append(([], fault))
    return results


def _write_maps(folders: Sequence[str], image: dict, rows: list) -> list:
    masks = [row['segmentation'] for row in rows]
    entities = EntityMap.from_segmentations(masks, image['height'], image['width'])
    category_ids = np.array([row['category_id'] for row in rows], dtype=np.int64)
    colours, segments_info = panoptic_segments(entities, category_ids)
    maps = (colours, semantic_map(entities, category_ids))
    for folder, values in zip(folders, maps):
        path = join_inside(folder, _map_name(image['file_name']))
        check_links(folder, path)
        with whole_file(path) as partial:
            Image.fromarray(values).save(partial)
    return segments_info


def _map_name(file_name: str) -> str:
    return Path(file_name).with_suffix('.png').as_posix()


def _write_json(path: Path, content: dict) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content))
