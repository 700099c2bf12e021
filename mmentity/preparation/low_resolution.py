"""EntitySeg's low-resolution images and annotations, made from the original ones."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Optional, Union

from PIL import Image, ImageOps

from mmentity.datasets.base import load_annotations
from mmentity.datasets.geometry import Size, shortest_edge_size
from mmentity.datasets.layout import entity_files, image_folder, other_family_name
from mmentity.datasets.paths import files_below, join_inside
from mmentity.datasets.rules import LOW_LONG_SIDE, LOW_SHORT_SIDE, check_image_size
from mmentity.preparation.annotation_forms import Json, with_masks
from mmentity.preparation.parallel import (
    ConversionReport,
    attempt,
    convert_images,
    run_parallel,
)
from mmentity.structures import EntityMap
from mmentity.utils.files import is_partial, whole_file, write_json

STORE = '.make_lr'


@dataclass(frozen=True)
class LowResolutionOptions:
    """Size and quality of low-resolution images.

    Attributes:
        short_side: Short side in px.
        long_side: Largest long side in px.
        quality: JPEG quality, 1..100.
    """

    short_side: int = LOW_SHORT_SIDE
    long_side: int = LOW_LONG_SIDE
    quality: int = 95


def make_low_resolution(
    root: Union[str, Path],
    options: LowResolutionOptions = LowResolutionOptions(),  # noqa: B008
    overwrite: bool = False,
    workers: Optional[int] = None,
) -> ConversionReport:
    """Make ``images_lr`` and the ``*_lr.json`` of the entity annotations.

    Images are resized bilinearly with antialiasing, masks by nearest
    neighbour, all entities of an image in one map. Every file appears whole;
    what exists is not made again, and a run that was killed is resumed.
    Images and annotations that are unusable are left out and reported. The
    class-aware annotations of the copy come from its entity annotations, with
    :func:`mmentity.preparation.derive.derive_annotations`.

    Args:
        root: Folder of EntitySeg.
        options: Size and quality.
        overwrite: Make files again that are there.
        workers: Processes; by default one for each processor.

    Raises:
        FileNotFoundError: If there is no annotation file to start from.

    Examples:
        >>> make_low_resolution('data/entityseg').faults
        []
    """
    root = Path(root)
    files = entity_files(root)
    if not files:
        raise FileNotFoundError(
            f'{root}/annotations/entity_segmentation holds no annotation file of the original '
            'images; see docs/data.md for the layout'
        )
    # what a killed run was writing
    for path in list(files_below(root / image_folder(True))):
        if is_partial(path):
            path.unlink()
    report, entries = ConversionReport(), {}
    for file in files:
        content = load_annotations(str(file.path), ('images', 'annotations'))
        entries.update({image['file_name']: image for image in content['images']})
        target = file.with_low_resolution().path
        # in either naming
        names = {target.name, other_family_name(target.name) or target.name}
        if overwrite or not any(target.with_name(name).is_file() for name in names):
            _make_annotations(root / STORE, target, content, options, workers, report)
    images, title = list(entries.values()), image_folder(True)
    make = partial(attempt, partial(make_image, root, options, overwrite))
    for image, (made, fault) in zip(images, run_parallel(make, images, workers, title, chunk=4)):
        report.images += bool(made)
        if fault:
            report.add_fault(title, image, fault)
    shutil.rmtree(root / STORE, ignore_errors=True)
    return report


def _make_annotations(
    store: Path,
    target: Path,
    content: Json,
    options: LowResolutionOptions,
    workers: Optional[int],
    report: ConversionReport,
) -> None:
    by_image: dict[int, list[Json]] = {image['id']: [] for image in content['images']}
    for annotation in content['annotations']:
        by_image.get(annotation['image_id'], []).append(annotation)
    sides = [options.short_side, options.long_side]
    tasks = [[image, sides, by_image[image['id']]] for image in content['images']]
    images, annotations = [], []
    for before, (after, rows) in convert_images(
        resize_entry, tasks, workers, target.name, store, report
    ):
        report.lost += len(by_image[before['id']]) - len(rows)
        images.append(after)
        annotations += rows
    write_json(target, {**content, 'images': images, 'annotations': annotations})
    report.files.append(str(target))


def resize_entry(task: list) -> list:
    """Make the low-resolution entry and annotations of one image.

    Args:
        task: Entry of the image, short and long side in px, annotations of the image.
    """
    image, sides, annotations = task
    height, width = shortest_edge_size(image['height'], image['width'], *sides)
    rows = resize_annotations(image, annotations, (height, width))
    return [{**image, 'height': height, 'width': width}, rows]


def resize_annotations(image: Json, annotations: Sequence[Json], size: Size) -> list[Json]:
    """Resize the masks of one image by nearest neighbour.

    Args:
        image: Entry with ``height`` and ``width``.
        annotations: Entries with ``segmentation``.
        size: New ``(height, width)`` in px.

    Returns:
        The annotations with new ``segmentation``, ``area`` and ``bbox``;
        entities without a pixel are skipped.
    """
    masks = [annotation['segmentation'] for annotation in annotations]
    entities = EntityMap.from_segmentations(masks, image['height'], image['width'])
    return with_masks(annotations, entities.resize(*size))


def make_image(root: Path, options: LowResolutionOptions, overwrite: bool, entry: Json) -> bool:
    """Tell whether a low-resolution image was made, as none of its size existed."""
    source, target = (
        Path(join_inside(root / image_folder(low), entry['file_name'])) for low in (False, True)
    )
    expected = (entry['height'], entry['width'])
    size = shortest_edge_size(*expected, options.short_side, options.long_side)
    if not overwrite and _has_size(target, size):
        return False
    with Image.open(source) as opened:
        image = ImageOps.exif_transpose(opened).convert('RGB')
    check_image_size(str(source), (image.height, image.width), expected)
    resized = image.resize(size[::-1], Image.Resampling.BILINEAR)
    with whole_file(target) as partial_file:
        resized.save(partial_file, quality=options.quality, subsampling=0)
    return True


def _has_size(path: Path, size: Size) -> bool:
    try:
        with Image.open(path) as image:
            return (image.height, image.width) == size
    except (OSError, ValueError):
        return False
