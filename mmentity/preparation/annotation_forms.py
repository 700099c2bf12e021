"""The four annotation forms of EntitySeg, made of entities and their categories.

All class-aware annotations of EntitySeg are derived from the entity
annotations: entities outside the category table of a task are skipped.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mmentity.datasets.categories import (
    IGNORED,
    Category,
    instance_categories,
    panoptic_categories,
    semantic_categories,
)
from mmentity.structures import EntityMap
from mmentity.structures.id_map import colours_of_ids

Json = dict[str, Any]


class PanopticImage(NamedTuple):
    """Panoptic colours of one image, uint8 RGB ``(H, W, 3)``, and its segments in the json."""

    png: np.ndarray
    segments_info: list[Json]


def with_masks(rows: Iterable[Json], entities: EntityMap) -> list[Json]:
    """Give COCO's rows of entities ``segmentation``, ``area`` and ``bbox``; skip empty ones."""
    return [
        {**row, 'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode()}, **extent}
        for row, rle, extent in zip(rows, entities.rles(), _extents(entities))
        if extent['area']
    ]


def _extents(entities: EntityMap) -> list[Json]:
    """``area`` and ``bbox`` of each entity, as a COCO json has them."""
    rows = zip(entities.areas.tolist(), entities.boxes_xyxy_px.tolist())
    return [{'area': area, 'bbox': [x0, y0, x1 - x0, y1 - y0]} for area, (x0, y0, x1, y1) in rows]


def instance_json(images: Sequence[Json], annotations: Sequence[Json]) -> Json:
    """Make the json of the instance task from the images and rows of the entity json.

    Rows outside of the 206 instance categories are skipped.
    """
    categories = instance_categories()
    known = {category.id for category in categories}
    kept = [row for row in annotations if row['category_id'] in known]
    numbered = [{**row, 'id': number} for number, row in enumerate(kept, start=1)]
    return _coco_json(images, numbered, categories)


def panoptic_json(images: Sequence[Json], segments_infos: Sequence[list[Json]]) -> Json:
    """Make the json of the panoptic task from the segments of each image."""
    annotations = [
        {'image_id': image['id'], 'file_name': image['file_name'], 'segments_info': segments_info}
        for image, segments_info in zip(images, segments_infos)
    ]
    return _coco_json(images, annotations, panoptic_categories())


def panoptic_segments(entities: EntityMap, category_ids: ArrayLike) -> PanopticImage:
    """Make the panoptic ground truth of one image.

    Each thing is a segment; the stuff of one category is one segment. The category
    ids, int ``(K,)``, are those of the entity table.
    """
    categories = {category.entity_id: category for category in panoptic_categories()}
    segment_of = np.zeros(entities.num_entities + 1, dtype=np.int32)
    segment_categories: list[Category] = []
    segment_of_stuff: dict[int, int] = {}
    for k, category_id in enumerate(np.asarray(category_ids).tolist(), start=1):
        category = categories.get(category_id)
        if category is None:
            continue
        if category.is_thing or category_id not in segment_of_stuff:
            segment_categories.append(category)
            segment_of_stuff[category_id] = len(segment_categories)
        segment_of[k] = segment_of_stuff[category_id]
    segments = EntityMap(segment_of[_flat_ids(entities)], len(segment_categories))
    rows = zip(segment_categories, _extents(segments))
    infos = [
        {'id': number, 'category_id': category.id, **extent, 'iscrowd': 0}
        for number, (category, extent) in enumerate(rows, start=1)
        if extent['area']
    ]
    return PanopticImage(colours_of_ids(segments.ids[0]), infos)


def semantic_map(entities: EntityMap, category_ids: ArrayLike) -> np.ndarray:
    """Make the semantic map of one image, uint8 ``(H, W)``: 0..149, 255 where no class is.

    The category ids, int ``(K,)``, are those of the entity table.
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


def _coco_json(
    images: Sequence[Json], annotations: list[Json], categories: Sequence[Category]
) -> Json:
    rows = [{'id': c.id, 'name': c.name, 'isthing': int(c.is_thing)} for c in sorted(categories)]
    return {'images': list(images), 'annotations': annotations, 'categories': rows}
