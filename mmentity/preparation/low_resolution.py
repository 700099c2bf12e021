"""EntitySeg's low-resolution pictures and annotations, made from the original ones."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from PIL import Image, ImageOps

from mmentity.datasets.base import load_annotations
from mmentity.datasets.entityseg import other_family_name
from mmentity.datasets.paths import check_links, join_inside
from mmentity.datasets.transforms.geometry import shortest_edge_size
from mmentity.preparation.layout import AnnotationFile, original_entity_files
from mmentity.preparation.parallel import default_workers, run_parallel, run_resumable
from mmentity.structures import EntityMap
from mmentity.utils.files import whole_file

STORE = '.make_lr'


@dataclass(frozen=True)
class LowResolutionOptions:
    """Size and quality of low-resolution pictures.

    Attributes:
        short_side: Short side in px.
        long_side: Largest long side in px.
        quality: JPEG quality, 1..100.
    """

    short_side: int = 800
    long_side: int = 1333
    quality: int = 95


@dataclass
class LowResolutionReport:
    """What was made.

    Attributes:
        files: Written annotation files.
        pictures: Number of pictures that were made.
        lost: Entities that no pixel is left of.
        faults: One sentence for each picture or entry that could not be made.
    """

    files: list = field(default_factory=list)
    pictures: int = 0
    lost: int = 0
    faults: list = field(default_factory=list)


def make_low_resolution(
    root: str,
    options: LowResolutionOptions = LowResolutionOptions(),  # noqa: B008
    overwrite: bool = False,
    workers: Optional[int] = None,
) -> LowResolutionReport:
    """Make ``images_lr`` and the ``*_lr.json`` of the entity annotations.

    Pictures are resized bilinearly with antialiasing, masks by nearest
    neighbour, all entities of a picture in one map. Every file appears whole;
    what is there is not made again, and a killed run goes on where it was.
    Pictures and annotations that are unusable are left out and reported. The
    class-aware annotations of the copy come from its entity annotations, with
    :func:`mmentity.preparation.derive.derive_annotations`.

    Args:
        root: Folder of EntitySeg.
        options: Size and quality.
        overwrite: Make files again that are there.
        workers: Processes; by default one for each processor.

    Returns:
        :class:`LowResolutionReport`.

    Raises:
        FileNotFoundError: If there is no annotation file to start from.

    Examples:
        >>> make_low_resolution('data/entityseg').faults
        []
    """
    root, workers = Path(root), workers or default_workers()
    files = original_entity_files(root)
    if not files:
        raise FileNotFoundError(
            f'{root}/annotations/entity_segmentation holds no annotation file of the original '
            'pictures; see docs/data.md for the layout'
        )
    # what a killed run was writing
    for partial in list((root / 'images_lr').rglob('*.partial-*')):
        partial.unlink()
    report, entries = LowResolutionReport(), {}
    for file in files:
        content = load_annotations(str(file.path), ('images', 'annotations'))
        entries.update({image['file_name']: image for image in content['images']})
        if overwrite or not _is_there(file):
            _make_annotations(root, file, content, options, workers, report)
    _make_pictures(root, list(entries.values()), options, overwrite, workers, report)
    shutil.rmtree(root / STORE, ignore_errors=True)
    return report


def _is_there(file: AnnotationFile) -> bool:
    """Tell whether the low-resolution file is there, in either naming."""
    target = file.with_low_resolution().path
    other = other_family_name(target.name)
    return target.is_file() or bool(other and target.with_name(other).is_file())


def _make_annotations(
    root: Path,
    file: AnnotationFile,
    content: dict,
    options: LowResolutionOptions,
    workers: int,
    report: LowResolutionReport,
) -> None:
    target = file.with_low_resolution().path
    by_image = {image['id']: [] for image in content['images']}
    for annotation in content['annotations']:
        by_image.get(annotation['image_id'], []).append(annotation)
    sides = [options.short_side, options.long_side]
    tasks = [[sides, image, by_image[image['id']]] for image in content['images']]
    images, annotations = [], []
    for image, rows, lost, fault in run_resumable(
        make_entries, tasks, workers, target.name, root / STORE
    ):
        report.lost += lost
        if fault:
            report.faults.append(f'{target.name} lacks {fault}')
        else:
            images.append(image)
            annotations += rows
    content.update(images=images, annotations=annotations)
    with whole_file(target) as partial, partial.open('w') as stream:
        json.dump(content, stream)
    report.files.append(str(target))


def make_entries(tasks: list) -> list:
    """Make the low-resolution entries of some pictures.

    Args:
        tasks: ``(short side, long side)`` px, entry of the picture and its
            annotations, for each.

    Returns:
        For each: entry, annotations, number of lost entities, and what went
        wrong or ''.
    """
    return [_make_entry(*task) for task in tasks]


def _make_entry(sides: Sequence[int], image: dict, annotations: list) -> tuple:
    try:
        size = shortest_edge_size(image['height'], image['width'], *sides)
        rows = resize_annotations(image, annotations, size)
    except (ValueError, KeyError, TypeError) as error:
        return None, [], 0, f'{image.get("file_name")} (image id {image["id"]}): {error}'
    entry = {**image, 'height': size[0], 'width': size[1]}
    return entry, rows, len(annotations) - len(rows), ''


def resize_annotations(image: dict, annotations: Sequence[dict], size: tuple) -> list:
    """Resize the masks of one picture by nearest neighbour.

    Args:
        image: Entry with ``height`` and ``width``.
        annotations: Entries with ``segmentation``.
        size: New ``(height, width)`` in px.

    Returns:
        The annotations with new ``segmentation``, ``area`` and ``bbox``;
        entities without a pixel are left out.
    """
    entities = EntityMap.from_segmentations(
        [annotation['segmentation'] for annotation in annotations], image['height'], image['width']
    ).resize(*size)
    rows = zip(annotations, entities.rles(), entities.areas, entities.boxes_xyxy_px.tolist())
    return [
        {
            **annotation,
            'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode()},
            'area': int(area),
            'bbox': [x0, y0, x1 - x0, y1 - y0],
        }
        for annotation, rle, area, (x0, y0, x1, y1) in rows
        if area
    ]


def _make_pictures(
    root: Path,
    images: list,
    options: LowResolutionOptions,
    overwrite: bool,
    workers: int,
    report: LowResolutionReport,
) -> None:
    tasks = [(str(root), image, options, overwrite) for image in images]
    for made, fault in run_parallel(make_picture, tasks, workers, 'images_lr', chunk=4):
        report.pictures += made
        if fault:
            report.faults.append(fault)


def make_picture(task: tuple) -> tuple:
    """Make one low-resolution picture, unless one of its size is there.

    Args:
        task: Root, entry of the picture, options, whether to overwrite.

    Returns:
        Whether it was made, and what went wrong or ''.
    """
    root, image, options, overwrite = task
    try:
        return _make_picture(Path(root), image, options, overwrite), ''
    except (OSError, ValueError, KeyError, SyntaxError, Image.DecompressionBombError) as error:
        return False, f'images_lr lacks {image.get("file_name")}: {error}'


def _make_picture(root: Path, image: dict, options: LowResolutionOptions, overwrite: bool) -> bool:
    source = join_inside(root / 'images', image['file_name'])
    check_links(root / 'images', source)
    target = Path(join_inside(root / 'images_lr', image['file_name']))
    check_links(root / 'images_lr', target)
    height, width = shortest_edge_size(
        image['height'], image['width'], options.short_side, options.long_side
    )
    if not overwrite and _has_size(target, (width, height)):
        return False
    with Image.open(source) as opened:
        picture = ImageOps.exif_transpose(opened).convert('RGB')
    if picture.size != (image['width'], image['height']):
        raise ValueError(
            f'{source} is {picture.height}x{picture.width} (height x width), its entry says '
            f'{image["height"]}x{image["width"]}'
        )
    resized = picture.resize((width, height), Image.BILINEAR)
    with whole_file(target) as partial:
        resized.save(partial, quality=options.quality, subsampling=0)
    return True


def _has_size(target: Path, size: tuple) -> bool:
    try:
        with Image.open(target) as picture:
            return picture.size == size
    except (OSError, ValueError):
        return False
