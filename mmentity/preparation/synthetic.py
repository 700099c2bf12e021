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

from mmentity.datasets.categories import entity_categories
from mmentity.datasets.layout import FOLDERS, MERGED, SPLITS, annotation_file, image_folder
from mmentity.preparation.annotation_forms import Json, with_masks
from mmentity.preparation.derive import derive_annotations
from mmentity.preparation.low_resolution import LowResolutionOptions, make_low_resolution
from mmentity.structures import EntityMap
from mmentity.utils.files import write_json
from mmentity.utils.progress import show_progress

# two of three images go to the first folder, the one with class-aware annotations
FOLDER_ORDER = ('01', '02', '03', '01', '01', '01')
# of JPEG
QUALITY = 92
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

    num_train: int = 600
    num_val: int = 100
    height: int = 288
    width: int = 384
    num_things: tuple[int, int] = (3, 6)
    seed: int = 0


class Appearance(NamedTuple):
    """How a category looks: its id in the entity table, its typical hue 0..1, its texture."""

    category_id: int
    hue: float
    texture: Pattern


class DrawnScene(NamedTuple):
    """One drawn image of K entities."""

    img: np.ndarray  # uint8 RGB (H, W, 3)
    entities: EntityMap
    category_ids: np.ndarray  # of the entity table, int (K,)


def make_demo_data(root: Union[str, Path], options: DemoOptions = DemoOptions()) -> Path:  # noqa: B008
    """Draw the demo data, or reuse what is there, and return its folder.

    Scenes are two or three textured stuff regions with things in front of each
    other; some things are thin lines, some a few px wide. The folder appears
    under its name only when it is complete.

    Args:
        root: Folder to make.
        options: Size and counts.

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
        sides = sorted((options.height, options.width))
        make_low_resolution(
            partial, LowResolutionOptions(sides[0] // 2, sides[1], QUALITY), workers=1
        )
        derive_annotations(partial, workers=1)
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
        img[mask] = colours(rng, kind, x[mask] / unit, y[mask] / unit, is_thing)
        ids[mask] = len(kinds)

    for mask in stuff_regions(rng, x / width, y / height):
        paint(STUFF[rng.integers(len(STUFF))], mask, is_thing=False)
    for size in _thing_sizes(rng, options.num_things):
        kind, shape = THINGS[rng.integers(len(THINGS))]
        centre = rng.uniform(0.05, 0.95, 2) * (width, height)
        angle = rng.uniform(0, np.pi)
        dx, dy = (x - centre[0]) / (size * unit), (y - centre[1]) / (size * unit)
        mask = shape(rng, *rotate(dx, dy, angle))
        if mask.any():
            paint(kind, mask, is_thing=True)

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
    usual = np.exp(rng.uniform(np.log(0.09), np.log(0.28), count - 1))
    return np.append(np.sort(usual)[::-1], rng.uniform(0.06, 0.08))


def stuff_regions(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Cut the image by one or two wavy lines into bands."""
    cuts = np.sort(rng.uniform(0.2, 0.8, rng.integers(1, 3)))
    slope = rng.uniform(-0.25, 0.25)
    level = y + slope * (x - 0.5)
    level = level + 0.04 * np.sin(2 * np.pi * (rng.uniform(0.5, 2) * x + rng.uniform()))
    band = np.searchsorted(cuts, level)
    return [band == k for k in range(len(cuts) + 1) if (band == k).any()]


def colours(
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
    light_tone = np.array(colorsys.hsv_to_rgb(hue, saturation, value))
    dark_tone = np.array(colorsys.hsv_to_rgb((hue + 0.04) % 1, saturation, value * darker))
    u, v = rotate(x, y, rng.uniform(0, np.pi))
    mix = kind.texture(rng, u, v)[:, None]
    light = 1 + rng.uniform(-0.4, 0.4) * (x - x.mean())[:, None]
    return 255 * light * (mix * light_tone + (1 - mix) * dark_tone)


def rotate(x: np.ndarray, y: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Turn coordinates by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _varied(low: float, high: float, pattern: Callable[..., np.ndarray]) -> Pattern:
    """Make a pattern whose first argument is a random number between two limits."""
    return lambda rng, x, y: pattern(rng.uniform(low, high), x, y)


def _bricks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mortar is 0; each second row is shifted by half a brick."""
    return (y % 1 > 0.15) & ((x / 2 + 0.5 * (np.floor(y) % 2)) % 1 > 0.08)


# patterns 0..1 of coordinates in short sides of the image
TEXTURES: dict[str, Pattern] = {
    'stripes': _varied(8, 16, lambda n, u, v: np.sin(2 * np.pi * n * u) > 0),
    'waves': _varied(
        5, 9, lambda n, u, v: 0.5 + 0.5 * np.sin(2 * np.pi * n * (u + 0.1 * np.sin(4 * np.pi * v)))
    ),
    'checks': _varied(8, 14, lambda n, u, v: (np.floor(n * u) + np.floor(n * v)) % 2),
    'dots': _varied(10, 16, lambda n, u, v: (n * u % 1 - 0.5) ** 2 + (n * v % 1 - 0.5) ** 2 < 0.1),
    'grain': lambda rng, u, v: rng.uniform(0.2, 1, u.shape),
    'bricks': _varied(8, 12, lambda n, u, v: _bricks(n * u, n * v)),
    'shade': _varied(-1, 1, lambda n, u, v: np.clip(0.5 + n * (u - u.mean()), 0, 1)),
}
# masks of coordinates in radii of the thing
SHAPES: dict[str, Pattern] = {
    'ellipse': _varied(1, 1.6, lambda n, x, y: x**2 + (n * y) ** 2 < 1),
    'rectangle': _varied(0.4, 0.9, lambda n, x, y: (np.abs(x) < 0.9) & (np.abs(y) < n)),
    'star': lambda rng, x, y: (
        np.hypot(x, y) < 0.75 + 0.25 * np.cos(rng.integers(3, 7) * np.arctan2(y, x))
    ),
    'ring': _varied(0.4, 0.6, lambda n, x, y: (np.hypot(x, y) < 1) & (np.hypot(x, y) > n)),
    'bottle': lambda rng, x, y: (
        (np.abs(y) < 0.35) & (np.abs(x - 0.3) < 0.6) | (np.abs(y) < 0.12) & (np.abs(x + 0.6) < 0.4)
    ),
    'rope': lambda rng, x, y: (
        (np.abs(x) < 2)
        & (np.abs(y - 0.3 * np.sin(rng.uniform(2, 5) * x + rng.uniform(0, 6))) < 0.12)
    ),
}
STUFF = [
    Appearance(3, 0.58, TEXTURES['shade']),  # sky
    Appearance(12, 0.30, TEXTURES['grain']),  # grass
    Appearance(50, 0.70, TEXTURES['grain']),  # road
    Appearance(114, 0.12, TEXTURES['waves']),  # sand
    Appearance(54, 0.50, TEXTURES['waves']),  # sea
    Appearance(21, 0.04, TEXTURES['bricks']),  # concretewall
]
THINGS = [
    (Appearance(16, 0.08, TEXTURES['stripes']), SHAPES['rectangle']),  # box
    (Appearance(24, 0.75, TEXTURES['checks']), SHAPES['rectangle']),  # painting
    (Appearance(51, 0.62, TEXTURES['shade']), SHAPES['ellipse']),  # plate
    (Appearance(35, 0.92, TEXTURES['dots']), SHAPES['ellipse']),  # cushion
    (Appearance(82, 0.36, TEXTURES['stripes']), SHAPES['star']),  # leaf
    (Appearance(80, 0.16, TEXTURES['shade']), SHAPES['star']),  # flower
    (Appearance(55, 0.00, TEXTURES['checks']), SHAPES['ring']),  # toy_ot
    (Appearance(32, 0.46, TEXTURES['shade']), SHAPES['bottle']),  # bottle
    (Appearance(66, 0.14, TEXTURES['shade']), SHAPES['rope']),  # rope
]


class _Annotated(NamedTuple):
    """Entry of one image, and the rows of its entities, both without their ids."""

    image: Json
    rows: list[Json]


def _write_split(root: Path, split: str, options: DemoOptions) -> None:
    """Write the images and entity annotations of one split."""
    count = options.num_train if split == 'train' else options.num_val
    scenes: dict[str, list[_Annotated]] = {part: [] for part in FOLDERS}
    for index in show_progress(range(count), count, f'images of {split}'):
        rng = np.random.default_rng((options.seed, SPLITS.index(split), index))
        scene = draw_scene(rng, options)
        part = FOLDER_ORDER[index % len(FOLDER_ORDER)]
        name = f'{FOLDERS[part]}/demo_{split}_{index:05d}.jpg'
        path = root / image_folder(False) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.img).save(path, quality=QUALITY)
        image = {'file_name': name, 'height': options.height, 'width': options.width}
        rows = [{'category_id': int(number), 'iscrowd': 0} for number in scene.category_ids]
        scenes[part].append(_Annotated(image, with_masks(rows, scene.entities)))
    scenes[MERGED] = [scene for part in FOLDERS for scene in scenes[part]]
    for part, annotated in scenes.items():
        file = annotation_file(root / 'annotations', 'entity', part, split)
        write_json(file.path, _entity_json(annotated))


def _entity_json(scenes: Sequence[_Annotated]) -> Json:
    """Make the json of the entity task: COCO instances, RLE masks, 644 categories."""
    rows = [(number, row) for number, scene in enumerate(scenes, start=1) for row in scene.rows]
    return {
        'images': [{'id': number, **scene.image} for number, scene in enumerate(scenes, start=1)],
        'annotations': [
            {'id': number, 'image_id': image_id, **row}
            for number, (image_id, row) in enumerate(rows, start=1)
        ],
        'categories': entity_categories(),
    }
