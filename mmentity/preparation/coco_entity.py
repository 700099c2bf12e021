"""COCO-Entity: COCO's panoptic annotations as one json of entities."""

import shutil
from pathlib import Path
from typing import Any, Optional

from PIL import Image

from mmentity.datasets.base import load_annotations
from mmentity.datasets.paths import join_inside
from mmentity.datasets.rules import check_map_size, check_segments
from mmentity.preparation.annotation_forms import Json, with_masks
from mmentity.preparation.parallel import ConversionReport, convert_images
from mmentity.structures import EntityMap
from mmentity.structures.id_map import entity_ids, read_id_map
from mmentity.utils.files import write_json


def convert_coco_panoptic(
    ann_file: str, seg_dir: str, out: str, workers: Optional[int] = None
) -> ConversionReport:
    """Convert COCO panoptic annotations to an entity json with RLE masks.

    Each segment, thing or stuff, is one entity with its COCO category id; crowd
    segments are left out. The result holds the entities that
    :class:`mmentity.datasets.CocoEntityDataset` reads from the PNGs, and is read
    by :class:`mmentity.datasets.EntitySegDataset`. A run that was killed is
    resumed; images whose PNG is unusable are left out and reported.

    Args:
        ann_file: COCO panoptic json.
        seg_dir: Folder of its PNGs.
        out: Json to write.
        workers: Processes; by default one for each processor.

    Raises:
        FileNotFoundError: If the json or the folder does not exist.
        ValueError: If the json is not a COCO panoptic one.

    Examples:
        >>> convert_coco_panoptic(
        ...     'annotations/panoptic_val2017.json', 'annotations/panoptic_val2017',
        ...     'annotations/coco_entity_val2017.json')
    """
    if not Path(seg_dir).is_dir():
        raise FileNotFoundError(f'{seg_dir} is not a folder; give the one of the panoptic PNGs')
    content = load_annotations(ann_file, ('images', 'annotations', 'categories'))
    images = {image['id']: image for image in content['images']}
    tasks = [_task(ann_file, seg_dir, images, row) for row in content['annotations']]
    report, store = ConversionReport(), Path(f'{out}.parts')
    kept: list[Json] = []
    annotations: list[Json] = []
    for image, (rows, crowds) in convert_images(
        convert_segments, tasks, workers, Path(out).name, store, report
    ):
        kept.append(image)
        report.crowds += crowds
        for row in rows:
            annotations.append({'id': len(annotations) + 1, 'image_id': image['id'], **row})
    result: Json = {key: content[key] for key in ('info', 'licenses') if key in content}
    result.update(images=kept, annotations=annotations, categories=content['categories'])
    write_json(out, result)
    shutil.rmtree(store, ignore_errors=True)
    report.images, report.entities = len(kept), len(annotations)
    return report


def _task(ann_file: str, seg_dir: str, images: dict[Any, Json], row: Json) -> list:
    image = images.get(row.get('image_id'))
    if image is None or 'segments_info' not in row:
        raise ValueError(
            f'{ann_file} has an annotation of image {row.get("image_id")} without segments_info '
            'or without an entry of the image; it is not a complete COCO panoptic file'
        )
    return [image, str(seg_dir), row['file_name'], row['segments_info']]


def convert_segments(task: list) -> list:
    """Make the annotations of one image, and count its crowd segments.

    Args:
        task: Entry of the image, folder of the PNGs, name of its PNG, ``segments_info``.
    """
    image, seg_dir, name, segments = task
    path = join_inside(seg_dir, name)
    with Image.open(path) as png:
        ids = read_id_map(png, 'colours')
    check_map_size(path, ids.shape, (image['height'], image['width']))
    check_segments(path, set(entity_ids(ids).tolist()), segments)
    kept = [segment for segment in segments if not segment.get('iscrowd', 0)]
    entities = EntityMap.from_segment_ids(ids, [segment['id'] for segment in kept])
    rows = [{'category_id': segment['category_id'], 'iscrowd': 0} for segment in kept]
    return [with_masks(rows, entities), len(segments) - len(kept)]
