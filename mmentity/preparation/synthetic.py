"""Demo data: drawn scenes in EntitySeg's folder layout and file formats."""

import colorsys
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Union

import numpy as np
from PIL import Image

from mmentity.datasets.geometry import shortest_edge_size
from mmentity.datasets.layout import (
    CLASS_AWARE,
    FOLDERS,
    MERGED,
    SPLITS,
    annotation_file,
    image_folder,
)
from mmentity.preparation.annotation_forms import (
    Scene,
    entity_json,
    instance_json,
    panoptic_json,
    panoptic_segments,
    semantic_map,
)
from mmentity.structures import EntityMap
from mmentity.utils.files import write_json
from mmentity.utils.progress import show_progress

# two of three images go to the first folder, the one with class-aware annotations
FOLDER_ORDER = ('01', '02', '03', '01', '01', '01')
Pattern = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DemoOptions:
    """Size and counts of the demo data.

    Attributes:
        num_train: Training images; two of three are in the first folder, which has
            the class-aware annotations too.
        num_val: Validation images.
        height: Height of an image in px; the low-resolution one has half.
        width: Width of an image in px.
        num_things: Fewest and most things of a scene.
        seed: The same seed gives the same files.
    """

    num_train: int = 300
    num_val: int = 60
    height: int = 288
    width: int = 384
    num_things: tuple[int, int] = (3, 6)
    seed: int = 0


class Appearance(NamedTuple):
    """How one category looks.

    Attributes:
        category_id: Id in EntitySeg's entity table.
        hue: Typical hue, 0..1.
        texture: Pattern that mixes two tones.
    """

    category_id: int
    hue: float
    texture: Pattern


class Thing(NamedTuple):
    """A thing: how it looks, and the function that draws its outline."""

    appearance: Appearance
    shape: Pattern


class DrawnScene(NamedTuple):
    """One drawn image.

    Attributes:
        img: uint8 RGB ``(H, W, 3)``.
        entities: Its K entities.
        category_ids: Id of each in the entity table, int ``(K,)``.
    """

    img: np.ndarray
    entities: EntityMap
    category_ids: np.ndarray


def make_demo_data(root: Union[str, Path], options: DemoOptions = DemoOptions()) -> Path:  # noqa: B008
    """Draw the demo data, or reuse what is there.

    Scenes are two or three textured stuff regions with things in front of each
    other; some things are thin lines, some a few px wide. The folder appears
    under its name only when it is complete.

    Args:
        root: Folder to make.
        options: Size and counts.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder holds demo data of other options.

    Examples:
        >>> make_demo_data('data/demo', DemoOptions(num_train=8, num_val=2))
    """
    root = Path(root)
    record = root / 'demo.json'
    wanted = json.loads(json.dumps(asdict(options)))
    if root.exists():
        if record.is_file() and json.loads(record.read_text()) == wanted:
            return root
        raise ValueError(
            f'{root} exists and was not made with these options; remove it or choose another folder'
        )
    partial = root.with_name(f'{root.name}.partial-{os.getpid()}')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for split in SPLITS:
            _write_split(partial, split, options)
        write_json(partial / 'demo.json', wanted, indent=2)
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def draw_scene(rng: np.random.Generator, options: DemoOptions) -> DrawnScene:
    """Draw one image."""
    height, width = options.height, options.width
    y, x = np.mgrid[:height, :width].astype(np.float32)
    unit = float(min(height, width))
    img = np.zeros((height, width, 3), dtype=np.float32)
    ids = np.zeros((height, width), dtype=np.int32)
    kinds: list[Appearance] = []

    def paint(kind: Appearance, mask: np.ndarray, is_thing: bool) -> None:
        kinds.append(kind)
        img[mask] = _colours(rng, kind, x[mask] / unit, y[mask] / unit, is_thing)
        ids[mask] = len(kinds)

    for mask in _stuff_regions(rng, x / width, y / height):
        paint(STUFF[rng.integers(len(STUFF))], mask, is_thing=False)
    for size in _thing_sizes(rng, options.num_things):
        thing = THINGS[rng.integers(len(THINGS))]
        centre = rng.uniform(0.05, 0.95, 2) * (width, height)
        angle = rng.uniform(0, np.pi)
        dx, dy = (x - centre[0]) / (size * unit), (y - centre[1]) / (size * unit)
        mask = thing.shape(rng, *_rotate(dx, dy, angle))
        if mask.any():
            paint(thing.appearance, mask, is_thing=True)

    img += rng.normal(0, 4, img.shape)
    entities = EntityMap(ids, len(kinds))
    keep = entities.areas >= unit * unit / 4000
    category_ids = np.array([kind.category_id for kind in kinds])[keep]
    img = np.clip(img, 0, 255).astype(np.uint8)
    return DrawnScene(img, entities.select(keep), category_ids)


def _thing_sizes(rng: np.random.Generator, num_things: Sequence[int]) -> np.ndarray:
    """Radii relative to the short side, small things last so that they stay visible.

    One thing of each scene is small, the scales of the others are evenly distributed.
    """
    count = rng.integers(num_things[0], num_things[1] + 1)
    usual = np.exp(rng.uniform(np.log(0.16), np.log(0.38), count - 1))
    return np.append(np.sort(usual)[::-1], rng.uniform(0.04, 0.06))


def _stuff_regions(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Cut the image by one or two wavy lines into bands."""
    cuts = np.sort(rng.uniform(0.2, 0.8, rng.integers(1, 3)))
    slope = rng.uniform(-0.25, 0.25)
    level = y + slope * (x - 0.5)
    level = level + 0.04 * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * x + rng.uniform()))
    band = np.searchsorted(cuts, level)
    return [band == k for k in range(len(cuts) + 1) if (band == k).any()]


def _colours(
    rng: np.random.Generator, kind: Appearance, x: np.ndarray, y: np.ndarray, is_thing: bool
) -> np.ndarray:
    """RGB 0..255 of pixels, two tones of a hue mixed by the texture and lit from one side.

    Stuff is pale and its tones are close together; things are vivid.
    """
    hue = (kind.hue + rng.normal(0, 0.03)) % 1
    saturation, darker = rng.uniform(0.65, 1.0), rng.uniform(0.7, 0.9)
    if not is_thing:
        saturation, darker = rng.uniform(0.1, 0.4), rng.uniform(0.88, 0.97)
    value = rng.uniform(0.55, 0.95)
    tones = np.array(
        [
            colorsys.hsv_to_rgb(hue, saturation, value),
            colorsys.hsv_to_rgb((hue + 0.04) % 1, saturation, value * darker),
        ]
    )
    u, v = _rotate(x, y, rng.uniform(0, np.pi))
    mix = kind.texture(rng, u, v)[:, None]
    light = 1 + rng.uniform(-0.4, 0.4) * (x - x.mean())[:, None]
    return 255 * light * (mix * tones[0] + (1 - mix) * tones[1])


def _rotate(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


# --- textures: pattern 0..1 of coordinates in short sides of the image ---


def _stripes(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.sin(2 * np.pi * rng.uniform(8, 16) * u) > 0).astype(np.float32)


def _waves(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    bend = 0.1 * np.sin(2 * np.pi * 2 * v)
    return 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(5, 9) * (u + bend))


def _checks(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    n = rng.uniform(8, 14)
    return ((np.floor(n * u) + np.floor(n * v)) % 2).astype(np.float32)


def _dots(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    n = rng.uniform(10, 16)
    return ((n * u % 1 - 0.5) ** 2 + (n * v % 1 - 0.5) ** 2 < 0.1).astype(np.float32)


def _grain(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return rng.uniform(0.2, 1, u.shape)


def _bricks(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    n = rng.uniform(8, 12)
    shifted = u * n / 2 + 0.5 * (np.floor(v * n) % 2)
    return ((v * n % 1 > 0.15) & (shifted % 1 > 0.08)).astype(np.float32)


def _shade(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.clip(0.5 + rng.uniform(-1, 1) * (u - u.mean()), 0, 1)


# --- shapes: mask of coordinates in radii of the thing ---


def _ellipse(rng: np.random.Generator, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return dx**2 + (dy * rng.uniform(1, 1.6)) ** 2 < 1


def _rectangle(rng: np.random.Generator, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return (np.abs(dx) < 0.9) & (np.abs(dy) < rng.uniform(0.4, 0.9))


def _star(rng: np.random.Generator, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    points = rng.integers(3, 7)
    edge = 0.75 + 0.25 * np.cos(points * np.arctan2(dy, dx))
    return np.hypot(dx, dy) < edge


def _ring(rng: np.random.Generator, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    radius = np.hypot(dx, dy)
    return (radius < 1) & (radius > rng.uniform(0.4, 0.6))


def _bottle(rng: np.random.Generator, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    body = (np.abs(dy) < 0.35) & (np.abs(dx - 0.3) < 0.6)
    neck = (np.abs(dy) < 0.12) & (np.abs(dx + 0.6) < 0.4)
    return body | neck


def _rope(rng: np.random.Generator, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    bend = 0.3 * np.sin(rng.uniform(2, 5) * dx + rng.uniform(0, 6))
    return (np.abs(dx) < 2) & (np.abs(dy - bend) < 0.12)


STUFF = [
    Appearance(3, 0.58, _shade),  # sky
    Appearance(12, 0.30, _grain),  # grass
    Appearance(50, 0.70, _grain),  # road
    Appearance(114, 0.12, _waves),  # sand
    Appearance(54, 0.50, _waves),  # sea
    Appearance(21, 0.04, _bricks),  # concretewall
]
THINGS = [
    Thing(Appearance(16, 0.08, _stripes), _rectangle),  # box
    Thing(Appearance(24, 0.75, _checks), _rectangle),  # painting
    Thing(Appearance(51, 0.62, _shade), _ellipse),  # plate
    Thing(Appearance(35, 0.92, _dots), _ellipse),  # cushion
    Thing(Appearance(82, 0.36, _stripes), _star),  # leaf
    Thing(Appearance(80, 0.16, _shade), _star),  # flower
    Thing(Appearance(55, 0.00, _checks), _ring),  # toy_ot
    Thing(Appearance(32, 0.46, _shade), _bottle),  # bottle
    Thing(Appearance(66, 0.14, _shade), _rope),  # rope
]


def _write_split(root: Path, split: str, options: DemoOptions) -> None:
    """Write images, low-resolution images and annotations of one split."""
    count = options.num_train if split == 'train' else options.num_val
    scenes: dict[tuple[str, bool], list[Scene]] = {
        (part, low): [] for part in FOLDERS for low in (False, True)
    }
    for index in show_progress(range(count), count, f'images of {split}'):
        rng = np.random.default_rng((options.seed, SPLITS.index(split), index))
        drawn = draw_scene(rng, options)
        part = FOLDER_ORDER[index % len(FOLDER_ORDER)]
        name = f'{FOLDERS[part]}/demo_{split}_{index:05d}.jpg'
        image = Image.fromarray(drawn.img)
        size = (image.height, image.width)
        low_size = shortest_edge_size(*size, min(size) // 2, max(size))
        low_image = image.resize(low_size[::-1], Image.Resampling.BILINEAR)
        for low, pixels, entities in (
            (False, image, drawn.entities),
            (True, low_image, drawn.entities.resize(*low_size)),
        ):
            path = root / image_folder(low) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels.save(path, quality=92)
            image_id = len(scenes[part, low]) + 1
            scenes[part, low].append(Scene(image_id, name, entities, drawn.category_ids))
    annotations = root / 'annotations'
    for low in (False, True):
        for part in FOLDERS:
            file = annotation_file(annotations, 'entity', part, split, low)
            write_json(file.path, entity_json(scenes[part, low]))
        merged = [scene for part in FOLDERS for scene in scenes[part, low]]
        merged = [scene._replace(image_id=k) for k, scene in enumerate(merged, start=1)]
        file = annotation_file(annotations, 'entity', MERGED, split, low)
        write_json(file.path, entity_json(merged))
    _write_class_aware(annotations, split, scenes[CLASS_AWARE, False])


def _write_class_aware(annotations: Path, split: str, scenes: Sequence[Scene]) -> None:
    """Write the instance, panoptic and semantic annotations of one split.

    They cover the first folder, and their file names begin inside it.
    """
    instance, panoptic, semantic = (
        annotation_file(annotations, task, CLASS_AWARE, split)
        for task in ('instance', 'panoptic', 'semantic')
    )
    scenes = [scene._replace(file_name=Path(scene.file_name).name) for scene in scenes]
    content = entity_json(scenes)
    write_json(instance.path, instance_json(content['images'], content['annotations']))
    for folder in (panoptic.maps, semantic.maps):
        folder.mkdir(parents=True)
    infos, pairs = [], []
    for scene in scenes:
        map_name = Path(scene.file_name).with_suffix('.png').name
        segments = panoptic_segments(scene.entities, scene.category_ids)
        Image.fromarray(segments.png).save(panoptic.maps / map_name)
        infos.append(segments.segments_info)
        classes = semantic_map(scene.entities, scene.category_ids)
        Image.fromarray(classes).save(semantic.maps / map_name)
        pairs.append(f'{scene.file_name} {map_name}\n')
    write_json(panoptic.path, panoptic_json(content['images'], infos))
    semantic.path.write_text(''.join(pairs))
