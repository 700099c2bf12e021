"""COCO-Entity: COCO's panoptic annotations as one json of entities."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
from PIL import Image

from mmentity.datasets.base import load_annotations
from mmentity.datasets.id_maps import read_id_map
from mmentity.datasets.paths import check_links, join_inside
from mmentity.preparation.parallel import default_workers, run_resumable
from mmentity.structures import EntityMap
from mmentity.utils.files import whole_file


@dataclass
class CocoEntityReport:
    """What was converted.

    Attributes:
        pictures: Number of pictures.
        entities: Number of entities.
        crowds: Crowd segments that were left out.
        faults: One sentence for each picture that is left out.
    """

    pictures: int = 0
    entities: int = 0
    crowds: int = 0
    faults: list = field(default_factory=list)


def convert_coco_panoptic(
    ann_file: str, seg_dir: str, out: str, workers: Optional[int] = None
) -> CocoEntityReport:
    """Convert COCO panoptic annotations to an entity json with RLE masks.

    Each segment, thing or stuff, is one entity with its COCO category id; crowd
    segments are left out. The result holds the entities that
    :class:`mmentity.datasets.CocoEntityDataset` reads from the PNGs, and is read
    by :class:`mmentity.datasets.EntitySegDataset`. A killed run goes on where it
    was; pictures whose PNG is unusable are left out and reported.

    Args:
        ann_file: COCO panoptic json.
        seg_dir: Folder of its PNGs.
        out: Json to write.
        workers: Processes; by default one for each processor.

    Returns:
        :class:`CocoEntityReport`.

    Raises:
        FileNotFoundError: If the json or the folder does not exist.
        ValueError: If the json is not a COCO panoptic one.

    Examples:
        >>> convert_coco_panoptic(
        ...     'annotations/panoptic_val2017.json', 'annotations/panoptic_val2017',
        ...     'annotations/coco_entity_val2017.json')
    """
    if not Path(seg_dir).is_dir():
        raise FileNotFoundError(f'{seg_dir} is no folder; give the one of the panoptic PNGs')
    content = load_annotations(ann_file, ('images', 'annotations', 'categories'))
    images = {image['id']: image for image in content['images']}
    tasks = [_task(ann_file, seg_dir, images, row) for row in content['annotations']]
    report, store = CocoEntityReport(), Path(f'{out}.parts')
    kept, annotations = [], []
    results = run_resumable(
        convert_pictures, tasks, workers or default_workers(), Path(out).name, store
    )
    for (rows, crowds, fault), (_, image, _, _) in zip(results, tasks):
        report.crowds += crowds
        if fault:
            report.faults.append(fault)
            continue
        kept.append(image)
        for row in rows:
            annotations.append({'id': len(annotations) + 1, 'image_id': image['id'], **row})
    result = {key: content[key] for key in ('info', 'licenses') if key in content}
    result.update(
        images=kept,
        annotations=annotations,
        categories=content['categories'],
    )
    with whole_file(out) as partial, partial.open('w') as stream:
        json.dump(result, stream)
    shutil.rmtree(store, ignore_errors=True)
    report.pictures, report.entities = len(kept), len(annotations)
    return report


def _task(ann_file: str, seg_dir: str, images: dict, row: dict) -> list:
    image = images.get(row.get('image_id'))
    if image is None or 'segments_info' not in row:
        raise ValueError(
            f'{ann_file} has an annotation of image {row.get("image_id")} without segments_info '
            'or without an entry of the picture; it is no whole COCO panoptic file'
        )
    return [str(seg_dir), image, row['file_name'], row['segments_info']]


def convert_pictures(tasks: list) -> list:
    """Convert the segments of some pictures.

    Args:
        tasks: Folder of the PNGs, entry of the picture, name of the PNG and
            ``segments_info``, for each.

    Returns:
        For each: annotations, number of crowds, and what went wrong or ''.
    """
    results = []
    for seg_dir, image, name, segments in tasks:
        try:
            rows, crowds = _convert(seg_dir, image, name, segments)
            results.append((rows, crowds, ''))
        except (OSError, ValueError, KeyError, SyntaxError) as error:
            fault = f'{image.get("file_name")} (image id {image["id"]}) is left out: {error}'
            results.append(([], 0, fault))
    return results


def _convert(seg_dir: str, image: dict, name: str, segments: list) -> tuple:
    path = join_inside(seg_dir, name)
    check_links(seg_dir, path)
    with Image.open(path) as picture:
        ids = read_id_map(picture, 'colours')
    if ids.shape != (image['height'], image['width']):
        raise ValueError(
            f'{path} is {ids.shape[0]}x{ids.shape[1]} (height x width), its picture '
            f'{image["height"]}x{image["width"]}'
        )
    kept = [segment for segment in segments if not segment.get('iscrowd', 0)]
    entities = EntityMap.from_segment_ids(ids, [segment['id'] for segment in kept])
    absent = [s['id'] for s, area in zip(kept, entities.areas) if area == 0]
    extra = np.setdiff1d(ids, [0, *(segment['id'] for segment in segments)])
    if absent or extra.size:
        raise ValueError(
            f'{path} lacks the segments {absent[:5]} or has others than its json, '
            f'{extra[:5].tolist()}; take json and PNGs of one release'
        )
    rows = [
        {
            'category_id': segment['category_id'],
            'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode()},
            'area': int(area),
            'bbox': [x0, y0, x1 - x0, y1 - y0],
            'iscrowd': 0,
        }
        for segment, rle, area, (x0, y0, x1, y1) in zip(
            kept, entities.rles(), entities.areas, entities.boxes_xyxy_px.tolist()
        )
    ]
    return rows, len(segments) - len(kept)
