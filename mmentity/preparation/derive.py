"""EntitySeg's class-aware annotations, derived from its entity annotations."""

import shutil
from pathlib import Path
from typing import Optional, Union

from PIL import Image

from mmentity.datasets.base import load_annotations
from mmentity.datasets.layout import (
    CLASS_AWARE,
    FOLDERS,
    MERGED,
    AnnotationFile,
    annotation_file,
    entity_files,
)
from mmentity.datasets.paths import join_inside
from mmentity.preparation.annotation_forms import (
    Json,
    instance_json,
    panoptic_json,
    panoptic_segments,
    semantic_map,
)
from mmentity.preparation.parallel import ConversionReport, convert_images
from mmentity.structures import EntityMap
from mmentity.utils.files import whole_file, write_json

KEYS = ('id', 'image_id', 'category_id', 'segmentation', 'area', 'bbox', 'iscrowd')
TASKS = ('instance', 'panoptic', 'semantic')


def derive_annotations(
    root: Union[str, Path],
    out: Union[str, Path, None] = None,
    low_resolution: bool = False,
    overwrite: bool = False,
    workers: Optional[int] = None,
) -> ConversionReport:
    """Derive instance, semantic and panoptic annotations from the entity ones.

    As the release has them, they cover the first folder of images, and what
    is not in the category table of a task is skipped. A run that was killed is
    resumed; images whose annotations are unusable are left out and reported.

    Args:
        root: Folder of EntitySeg.
        out: Folder for the annotations of the three tasks; by default
            ``annotations/`` of the root.
        low_resolution: Whether to start from the entity annotations of the
            low-resolution images; file names then end in ``_lr``.
        overwrite: Make a split again that is there.
        workers: Processes; by default one for each processor.

    Raises:
        FileNotFoundError: If there are no entity annotations of the folder.
        ValueError: If the entity annotations are class-agnostic.

    Examples:
        >>> derive_annotations('data/entityseg').faults
        []
    """
    files = entity_files(Path(root), low_resolution)
    # the file of the folder, or else the merged one
    sources = {f.split: f for part in (MERGED, CLASS_AWARE) for f in files if f.part == part}
    if not sources:
        raise FileNotFoundError(
            f'{root}/annotations/entity_segmentation holds no entity annotations of '
            f'{FOLDERS[CLASS_AWARE]}; see docs/data.md for the layout'
        )
    out = Path(out or Path(root) / 'annotations')
    report = ConversionReport()
    for split, source in sources.items():
        targets = [annotation_file(out, t, CLASS_AWARE, split, low_resolution) for t in TASKS]
        existing = [str(file.path) for file in targets if file.path.is_file()]
        if existing and not overwrite:
            report.skipped += existing
        else:
            _derive_split(source, targets, out / '.derive', workers, report)
    return report


def _derive_split(
    source: AnnotationFile,
    targets: list[AnnotationFile],
    store: Path,
    workers: Optional[int],
    report: ConversionReport,
) -> None:
    instance, panoptic, semantic = targets
    content = load_annotations(str(source.path), ('images', 'annotations'))
    images = _images_of_folder(content)
    rows = _rows_of_images(content, images, source.path)
    folders = [str(panoptic.maps), str(semantic.maps)]
    tasks = [[image, folders, rows[image['id']]] for image in images]
    converted = list(convert_images(write_maps, tasks, workers, source.path.name, store, report))
    kept = [image for image, _ in converted]
    instances = [row for image in kept for row in rows[image['id']]]
    write_json(instance.path, instance_json(kept, instances))
    write_json(panoptic.path, panoptic_json(kept, [infos for _, infos in converted]))
    with whole_file(semantic.path) as partial:
        names = [image['file_name'] for image in kept]
        partial.write_text(''.join(f'{name} {_map_name(name)}\n' for name in names))
    report.files += [str(file.path) for file in targets]
    report.images += len(kept)
    shutil.rmtree(store, ignore_errors=True)


def _images_of_folder(content: Json) -> list[Json]:
    """Entries of the images of the folder, with names that begin inside it."""
    prefix = f'{FOLDERS[CLASS_AWARE]}/'
    return [
        {
            'id': image['id'],
            'file_name': image['file_name'][len(prefix) :],
            'height': image['height'],
            'width': image['width'],
        }
        for image in content['images']
        if image['file_name'].startswith(prefix)
    ]


def _rows_of_images(content: Json, images: list[Json], path: Path) -> dict[int, list[Json]]:
    """Annotations by image id, with their ids in the entity table."""
    rows: dict[int, list[Json]] = {image['id']: [] for image in images}
    for annotation in content['annotations']:
        if annotation['image_id'] in rows:
            row = {key: annotation[key] for key in KEYS if key in annotation}
            row['category_id'] = class_of(annotation, path)
            rows[annotation['image_id']].append(row)
    classes = [row['category_id'] for image_rows in rows.values() for row in image_rows]
    if len(classes) > 100 and len(set(classes)) == 1:
        raise ValueError(
            f'all entities of {path} are of category {classes[0]}: the file is class-agnostic; '
            'take the one whose category ids are those of the 644 categories'
        )
    return rows


def class_of(annotation: Json, path: Union[str, Path]) -> int:
    """Return the id of an annotation in the entity table.

    Some files of the release keep a class-agnostic ``category_id`` and the
    class in ``category_id_ori``.

    Raises:
        ValueError: If the class is not a number.
    """
    key = 'category_id_ori' if 'category_id_ori' in annotation else 'category_id'
    category_id = annotation[key]
    try:
        return int(category_id)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'annotation {annotation["id"]} of {path} has the class {category_id!r}; classes are '
            'known by their id, as names repeat'
        ) from error


def write_maps(task: list) -> list[Json]:
    """Write the panoptic and semantic maps of one image and return its ``segments_info``.

    Args:
        task: Entry of the image, folders of both kinds of maps, annotations of the image.
    """
    image, folders, rows = task
    masks = [row['segmentation'] for row in rows]
    entities = EntityMap.from_segmentations(masks, image['height'], image['width'])
    category_ids = [row['category_id'] for row in rows]
    panoptic = panoptic_segments(entities, category_ids)
    for folder, values in zip(folders, (panoptic.png, semantic_map(entities, category_ids))):
        with whole_file(join_inside(folder, _map_name(image['file_name']))) as partial:
            Image.fromarray(values).save(partial)
    return panoptic.segments_info


def _map_name(file_name: str) -> str:
    return Path(file_name).with_suffix('.png').as_posix()
