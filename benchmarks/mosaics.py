"""Demo scenes beside each other in one large image, with things across their borders."""

from typing import NamedTuple

import numpy as np

from mmentity.preparation.synthetic import STUFF, DemoOptions, DrawnScene, draw_scene
from mmentity.structures import EntityMap

STUFF_IDS = [kind.category_id for kind in STUFF]


class Mosaic(NamedTuple):
    """One large image.

    Attributes:
        img: uint8 RGB ``(H, W, 3)``.
        entities: All entities of it.
        across: Ids of the things across borders of scenes, int ``(N,)``.
        boxes_xyxy_px: Where the scenes lie, ``(R * C, 4)``.
    """

    img: np.ndarray
    entities: EntityMap
    across: np.ndarray
    boxes_xyxy_px: np.ndarray


def draw_mosaic(
    rows: int,
    columns: int,
    options: DemoOptions = DemoOptions(),  # noqa: B008
    seed: int = 0,
) -> Mosaic:
    """Draw scenes, and one thing across the border of each with the next in its row."""
    height, width = options.height, options.width
    img = np.zeros((rows * height, columns * width, 3), dtype=np.uint8)
    ids = np.zeros(img.shape[:2], dtype=np.int32)
    boxes, last, across = [], 0, []
    for number in range(rows * columns):
        y, x = divmod(number, columns)
        box = slice(y * height, (y + 1) * height), slice(x * width, (x + 1) * width)
        scene = draw_scene(np.random.default_rng((seed, 0, number)), options)
        img[box] = scene.img
        ids[box] = np.where(scene.entities.ids[0] > 0, scene.entities.ids[0] + last, 0)
        last += scene.entities.num_entities
        boxes.append((x * width, y * height, (x + 1) * width, (y + 1) * height))
    for number in range(rows * columns):
        y, x = divmod(number, columns)
        if x + 1 < columns:
            scene = draw_scene(np.random.default_rng((seed, 1, number)), options)
            last += 1
            _paste(img, ids, scene, (y * height + height // 2, (x + 1) * width), last)
            across.append(last)
    return Mosaic(img, EntityMap(ids, last), np.array(across), np.array(boxes))


def _paste(
    img: np.ndarray, ids: np.ndarray, scene: DrawnScene, centre: tuple[int, int], number: int
) -> None:
    """Copy the largest thing of a scene to a place of an image."""
    entities = scene.entities
    is_thing = ~np.isin(scene.category_ids, STUFF_IDS)
    largest = int(np.argmax(entities.areas * is_thing))
    x0, y0, x1, y1 = entities.boxes_xyxy_px[largest].tolist()
    mask = entities.ids[0, y0:y1, x0:x1] == largest + 1
    top, left = centre[0] - (y1 - y0) // 2, centre[1] - (x1 - x0) // 2
    place = slice(top, top + y1 - y0), slice(left, left + x1 - x0)
    img[place][mask] = scene.img[y0:y1, x0:x1][mask]
    ids[place][mask] = number
