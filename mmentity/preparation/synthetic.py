"""Demo data: drawn scenes in EntitySeg's folder layout and file formats."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.utils import track_iter_progress
from PIL import Image

from mmentity.datasets.transforms.geometry import shortest_edge_size
from mmentity.preparation.annotation_forms import (
    Scene,
    entity_json,
    instance_json,
    panoptic_json,
    panoptic_segments,
    semantic_map,
)
from mmentity.structures import EntityMap

FOLDERS = ('entity_01_11580', 'entity_02_11598', 'entity_03_10049')
# two of three pictures go to the first folder, the one with class-aware annotations
FOLDER_ORDER = (0, 1, 2, 0, 0, 0)
ANNOTATIONS = 'annotations/entity_segmentation'


@dataclass(frozen=True)
class DemoOptions:
    """Size and counts of the demo data.

    Attributes:
        num_train: Training pictures; two of three are in the first folder, which has
            the class-aware annotations too.
        num_val: Validation pictures.
        height: Height of a picture in px; the low-resolution one has half.
        width: Width of a picture in px.
        num_things: Fewest and most things of a scene.
        seed: The same seed gives the same files.
    """

    num_train: int = 300
    num_val: int = 60
    height: int = 288
    width: int = 384
    num_things: tuple = (3, 6)
    seed: int = 0


class Kind(NamedTuple):
    """How one category looks.

    Attributes:
        category_id: Id in EntitySeg's entity table.
        hue: Typical hue, 0..1.
        texture: Pattern that mixes two tones.
        shape: Outline of a thing; None for stuff.
    """

    category_id: int
    hue: float
    texture: Callable
    shape: Callable = None


def make_demo_data(root: str, options: DemoOptions = DemoOptions()) -> Path:  # noqa: B008
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
        _write_split(partial, 'train', options)
        _write_split(partial, 'val', options)
        (partial / 'demo.json').write_text(json.dumps(wanted, indent=2))
        partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def draw_scene(rng: np.random.Generator, options: DemoOptions) -> tuple:
    """Draw one picture.

    Returns:
        uint8 RGB ``(H, W, 3)``, :class:`EntityMap` and category ids ``(K,)``.
    """
    height, width = options.height, options.width
    y, x = np.mgrid[:height, :width].astype(np.float32)
    unit = float(min(height, width))
    img = np.zeros((height, width, 3), dtype=np.float32)
    ids = np.zeros((height, width), dtype=np.int32)
    kinds = []

    def paint(kind: Kind, mask: np.ndarray) -> None:
        kinds.append(kind)
        img[mask] = _colours(rng, kind, x[mask] / unit, y[mask] / unit)
        ids[mask] = len(kinds)

    for mask in _stuff_regions(rng, x / width, y / height):
        paint(STUFF[rng.integers(len(STUFF))], mask)
    for size in _thing_sizes(rng, options.num_things):
        kind = THINGS[rng.integers(len(THINGS))]
        centre = rng.uniform(0.05, 0.95, 2) * (width, height)
        angle = rng.uniform(0, np.pi)
        dx, dy = (x - centre[0]) / (size * unit), (y - centre[1]) / (size * unit)
        mask = kind.shape(rng, *_rotate(dx, dy, angle))
        if mask.any():
            paint(kind, mask)

    img += rng.normal(0, 4, img.shape)
    entities = EntityMap(ids, len(kinds))
    keep = entities.areas >= unit * unit / 4000
    category_ids = np.array([kind.category_id for kind in kinds])[keep]
    return np.clip(img, 0, 255).astype(np.uint8), entities.select(keep), category_ids


def _thing_sizes(rng: np.random.Generator, num_things: Sequence[int]) -> np.ndarray:
    """Radii relative to the short side, small things last so that they stay seen.

    One thing of each scene is small, the others are spread evenly over the scales.
    """
    count = rng.integers(num_things[0], num_things[1] + 1)
    usual = np.exp(rng.uniform(np.log(0.16), np.log(0.38), count - 1))
    return np.append(np.sort(usual)[::-1], rng.uniform(0.04, 0.06))


def _stuff_regions(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> list:
    """Cut the picture by one or two wavy lines into bands."""
    cuts = np.sort(rng.uniform(0.2, 0.8, rng.integers(1, 3)))
    slope = rng.uniform(-0.25, 0.25)
    level = y + slope * (x - 0.5)
    level = level + 0.04 * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * x + rng.uniform()))
    band = np.searchsorted(cuts, level)
    return [band == k for k in range(len(cuts) + 1) if (band == k).any()]


def _colours(rng: np.random.Generator, kind: Kind, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """RGB 0..255 of pixels, two tones of a hue mixed by the texture and lit from one side.

    Stuff is pale and its tones are close together; things are vivid.
    """
    hue = (kind.hue + rng.normal(0, 0.03)) % 1
    saturation, darker = rng.uniform(0.65, 1.0), rng.uniform(0.7, 0.9)
    if kind.shape is None:
        saturation, darker = rng.uniform(0.1, 0.4), rng.uniform(0.88, 0.97)
    value = rng.uniform(0.55, 0.95)
    tones = [
        _hsv_to_rgb(hue, saturation, value),
        _hsv_to_rgb((hue + 0.04) % 1, saturation, value * darker),
    ]
    u, v = _rotate(x, y, rng.uniform(0, np.pi))
    mix = kind.texture(rng, u, v)[:, None]
    light = 1 + rng.uniform(-0.4, 0.4) * (x - x.mean())[:, None]
    return 255 * light * (mix * tones[0] + (1 - mix) * tones[1])


def _hsv_to_rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    k = (np.array([5, 3, 1]) + 6 * hue) % 6
    return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)


def _rotate(x: np.ndarray, y: np.ndarray, angle: float) -> tuple:
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


# --- textures: pattern 0..1 of coordinates in short sides of the picture ---


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
    Kind(3, 0.58, _shade),  # sky
    Kind(12, 0.30, _grain),  # grass
    Kind(50, 0.70, _grain),  # road
    Kind(114, 0.12, _waves),  # sand
    Kind(54, 0.50, _waves),  # sea
    Kind(21, 0.04, _bricks),  # concretewall
]
THINGS = [
    Kind(16, 0.08, _stripes, _rectangle),  # box
    Kind(24, 0.75, _checks, _rectangle),  # painting
    Kind(51, 0.62, _shade, _ellipse),  # plate
    Kind(35, 0.92, _dots, _ellipse),  # cushion
    Kind(82, 0.36, _stripes, _star),  # leaf
    Kind(80, 0.16, _shade, _star),  # flower
    Kind(55, 0.00, _checks, _ring),  # toy_ot
    Kind(32, 0.46, _shade, _bottle),  # bottle
    Kind(66, 0.14, _shade, _rope),  # rope
]


def _write_split(root: Path, split: str, options: DemoOptions) -> None:
    """Write pictures, low-resolution pictures and annotations of one split."""
    count = options.num_train if split == 'train' else options.num_val
    files = {(folder, lr): [] for folder in FOLDERS for lr in (False, True)}
    for index in track_iter_progress((range(count), count)):
        rng = np.random.default_rng((options.seed, ('train', 'val').index(split), index))
        img, entities, category_ids = draw_scene(rng, options)
        folder = FOLDERS[FOLDER_ORDER[index % len(FOLDER_ORDER)]]
        name = f'{folder}/demo_{split}_{index:05d}.jpg'
        low_size = shortest_edge_size(*img.shape[:2], min(img.shape[:2]) // 2, max(img.shape[:2]))
        low_img = Image.fromarray(img).resize(low_size[::-1], Image.BILINEAR)
        for lr, picture, truth in (
            (False, Image.fromarray(img), entities),
            (True, low_img, entities.resize(*low_size)),
        ):
            path = root / ('images_lr' if lr else 'images') / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, quality=92)
            image_id = len(files[folder, lr]) + 1
            files[folder, lr].append(Scene(image_id, name, truth, category_ids))
    for lr in (False, True):
        suffix = f'entity_{split}{"_lr" if lr else ""}.json'
        for number, folder in zip(('01', '02', '03'), FOLDERS):
            scenes = files[folder, lr]
            _write_json(root / ANNOTATIONS / f'entityv2_{number}_{suffix}', entity_json(scenes))
        merged = [scene for folder in FOLDERS for scene in files[folder, lr]]
        merged = [scene._replace(image_id=k) for k, scene in enumerate(merged, start=1)]
        _write_json(root / ANNOTATIONS / f'entityv2_010203_{suffix}', entity_json(merged))
    _write_class_aware(root / 'annotations', split, files[FOLDERS[0], False])


def _write_class_aware(root: Path, split: str, scenes: Sequence[Scene]) -> None:
    """Write the instance, panoptic and semantic annotations of one split.

    They cover the first folder, and their file names begin inside it.
    """
    scenes = [scene._replace(file_name=Path(scene.file_name).name) for scene in scenes]
    content = entity_json(scenes)
    path = root / 'instance_segmentation' / f'entityv2_01_instances_{split}.json'
    _write_json(path, instance_json(content['images'], content['annotations']))
    panoptic, semantic = root / 'panoptic_segmentation', root / 'semantic_segmentation'
    for folder in (panoptic / f'panoptic_maps_{split}', semantic / f'semantic_maps_{split}'):
        folder.mkdir(parents=True)
    infos, pairs = [], []
    for scene in scenes:
        png_name = Path(scene.file_name).with_suffix('.png').name
        png, segments_info = panoptic_segments(scene.entities, scene.category_ids)
        Image.fromarray(png).save(panoptic / f'panoptic_maps_{split}' / png_name)
        infos.append(segments_info)
        classes = semantic_map(scene.entities, scene.category_ids)
        Image.fromarray(classes).save(semantic / f'semantic_maps_{split}' / png_name)
        pairs.append(f'{scene.file_name} {png_name}\n')
    path = panoptic / f'entityv2_01_panoptic_{split}.json'
    _write_json(path, panoptic_json(content['images'], infos))
    (semantic / f'{split}.txt').write_text(''.join(pairs))


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
