"""The four annotation forms of EntitySeg, made of entities and their categories.

All class-aware annotations of EntitySeg are derived from the entity
annotations: what is not in the category table of a task is left out of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmentity.datasets.categories import (
    IGNORED,
    Category,
    entity_categories,
    instance_categories,
    panoptic_categories,
    semantic_categories,
)
from mmentity.structures import EntityMap


class Scene(NamedTuple):
    """The entities of one picture.

    Attributes:
        image_id: Id of the picture in the json.
        file_name: Name of the picture in the json.
        entities: Its K entities.
        category_ids: Id of each in the entity table, int ``(K,)``.
    """

    image_id: int
    file_name: str
    entities: EntityMap
    category_ids: np.ndarray


def entity_json(scenes: Sequence[Scene]) -> dict:
    """Make the json of the entity task: COCO instances, RLE masks, 644 categories."""
    annotations = []
    for scene in scenes:
        entities = scene.entities
        rows = zip(entities.rles(), entities.areas, entities.boxes_xyxy_px, scene.category_ids)
        for rle, area, (x0, y0, x1, y1), category_id in rows:
            if area == 0:
                continue
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': scene.image_id,
                    'category_id': int(category_id),
                    'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode()},
                    'area': int(area),
                    'bbox': [int(v) for v in (x0, y0, x1 - x0, y1 - y0)],
                    'iscrowd': 0,
                }
            )
    images = [_image_row(scene) for scene in scenes]
    return {'images': images, 'annotations': annotations, 'categories': entity_categories()}


def instance_json(images: Sequence[dict], annotations: Sequence[dict]) -> dict:
    """Make the json of the instance task from the rows of the entity json.

    Args:
        images: Pictures of the json.
        annotations: Annotations of the entity json; those outside of the 206
            instance categories are left out.
    """
    categories = instance_categories()
    wanted = {category.id for category in categories}
    kept = [row for row in annotations if row['category_id'] in wanted]
    return {
        'images': list(images),
        'annotations': [{**row, 'id': number} for number, row in enumerate(kept, start=1)],
        'categories': _category_rows(categories),
    }


def panoptic_json(images: Sequence[dict], segments_infos: Sequence[list]) -> dict:
    """Make the json of the panoptic task from the segments of each picture."""
    annotations = [
        {'image_id': image['id'], 'file_name': image['file_name'], 'segments_info': segments_info}
        for image, segments_info in zip(images, segments_infos)
    ]
    return {
        'images': list(images),
        'annotations': annotations,
        'categories': _category_rows(panoptic_categories()),
    }


def panoptic_segments(entities: EntityMap, category_ids: np.ndarray) -> tuple:
    """Make the panoptic truth of one picture.

    Each thing is a segment; the stuff of one category is one segment.

    Returns:
        PNG uint8 RGB ``(H, W, 3)`` whose colours are the segment ids, 0 where
        nothing is, and ``segments_info``.
    """
    categories = {category.entity_id: category for category in panoptic_categories()}
    segment_of = np.zeros(entities.num_entities + 1, dtype=np.int32)
    owners, segment_of_stuff = [], {}
    for k, category_id in enumerate(np.asarray(category_ids).tolist(), start=1):
        category = categories.get(category_id)
        if category is None:
            continue
        if category.is_thing or category_id not in segment_of_stuff:
            owners.append(category)
            segment_of_stuff[category_id] = len(owners)
        segment_of[k] = len(owners) if category.is_thing else segment_of_stuff[category_id]
    segments = EntityMap(segment_of[_flat_ids(entities)], len(owners))
    infos = [
        {
            'id': number,
            'category_id': category.id,
            'area': int(area),
            'bbox': [int(x0), int(y0), int(x1 - x0), int(y1 - y0)],
            'iscrowd': 0,
        }
        for number, (category, area, (x0, y0, x1, y1)) in enumerate(
            zip(owners, segments.areas, segments.boxes_xyxy_px), start=1
        )
        if area > 0
    ]
    ids = segments.ids[0]
    png = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    return png, infos


def semantic_map(entities: EntityMap, category_ids: np.ndarray) -> np.ndarray:
    """Make the semantic map of one picture.

    Returns:
        uint8 ``(H, W)``: classes 0..149, 255 where no class is.
    """
    classes = {category.entity_id: category.id for category in semantic_categories()}
    class_of = np.full(entities.num_entities + 1, IGNORED, dtype=np.uint8)
    for k, category_id in enumerate(np.asarray(category_ids).tolist(), start=1):
        class_of[k] = classes.get(category_id, IGNORED)
    return class_of[_flat_ids(entities)]


def _flat_ids(entities: EntityMap) -> np.ndarray:
    """One id for each pixel, int32 ``(H, W)``; where entities overlap, the first layer's."""
    flat = entities.ids[0].copy()
    for layer in entities.ids[1:]:
        np.copyto(flat, layer, where=flat == 0)
    return flat


def _image_row(scene: Scene) -> dict:
    height, width = scene.entities.height, scene.entities.width
    return {'id': scene.image_id, 'file_name': scene.file_name, 'height': height, 'width': width}


def _category_rows(categories: Sequence[Category]) -> list:
    return [
        {'id': category.id, 'name': category.name, 'isthing': int(category.is_thing)}
        for category in sorted(categories)
    ]
