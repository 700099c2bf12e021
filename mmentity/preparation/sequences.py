"""Drawn sequences: things that move over a scene before a camera that pans, with known ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Union

import cv2
import numpy as np

from mmentity.preparation.synthetic import (
    STUFF,
    THINGS,
    Appearance,
    Pattern,
    colours,
    rotate,
    stuff_regions,
)
from mmentity.structures import EntityMap
from mmentity.utils.files import whole_file


@dataclass(frozen=True)
class SequenceOptions:
    """Size and content of a drawn sequence.

    Attributes:
        frames: Number of frames.
        height: Height of a frame in px.
        width: Width of a frame in px.
        num_things: Things; about half of them leave the frame at times and return.
        pan: How far the camera goes to and fro, in widths of a frame.
        period: Frames of the camera's way to and fro; things have periods of their own.
        seed: The same seed gives the same frames.
    """

    frames: int = 120
    height: int = 240
    width: int = 320
    num_things: int = 7
    pan: float = 0.3
    period: int = 120
    seed: int = 0


class DrawnFrame(NamedTuple):
    """One frame, and its entities with ids that stay."""

    img: np.ndarray  # uint8 RGB (H, W, 3)
    ids: np.ndarray  # int32 (H, W), 0 = no entity


class _Sprite(NamedTuple):
    """A thing on its way: pixels, and where its centre is at a time."""

    img: np.ndarray  # uint8 RGB (h, w, 3)
    mask: np.ndarray  # bool (h, w)
    middle: np.ndarray  # x and y in px of the background
    reach: np.ndarray
    period: float
    phase: np.ndarray

    def place(self, frame: int) -> tuple[int, int]:
        """Return x and y of the top left corner."""
        centre = self.middle + self.reach * np.sin(2 * np.pi * frame / self.period + self.phase)
        x, y = np.round(centre).astype(int)
        return int(x - self.mask.shape[1] // 2), int(y - self.mask.shape[0] // 2)


class DrawnSequence:
    """Frames of a window over a wide background, on which things cross each other.

    Things go to and fro on ways of their own, those that come later in front; one of the
    backmost is a tall pillar that stands still in front of everything, and hides what passes.

    Args:
        options: Size and content.

    Examples:
        >>> for img, ids in DrawnSequence(SequenceOptions(frames=60)):
        ...     print(img.shape, np.unique(ids))
    """

    def __init__(self, options: SequenceOptions = SequenceOptions()) -> None:  # noqa: B008
        self.options = options
        rng = np.random.default_rng(options.seed)
        self.margin = round(options.width * options.pan)
        self._img, self._ids = self._background(rng)
        self._things = [self._thing(rng, k) for k in range(options.num_things)]

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.options.frames

    def __iter__(self) -> Iterator[DrawnFrame]:
        """Draw one frame after the other."""
        for frame in range(self.options.frames):
            yield self.draw(frame)

    def draw(self, frame: int) -> DrawnFrame:
        """Draw one frame."""
        img, ids = self._img.copy(), self._ids.copy()
        number = int(ids.max())
        for thing in self._things:
            number += 1
            x, y = thing.place(frame)
            height, width = thing.mask.shape
            top, left = max(0, -y), max(0, -x)
            box = (slice(max(0, y), max(0, y + height)), slice(max(0, x), max(0, x + width)))
            rows, columns = ids[box].shape
            part = (slice(top, top + rows), slice(left, left + columns))
            mask = thing.mask[part]
            img[box][mask] = thing.img[part][mask]
            ids[box][mask] = number
        pan = 0.5 - 0.5 * np.cos(2 * np.pi * frame / self.options.period)
        start = round(self.margin * pan)
        window = np.s_[:, start : start + self.options.width]
        rng = np.random.default_rng((self.options.seed, frame))
        noise = rng.normal(0, 3, (self.options.height, self.options.width, 1))
        return DrawnFrame(np.clip(img[window] + noise, 0, 255).astype(np.uint8), ids[window].copy())

    def _background(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.options.height, self.options.width + self.margin
        y, x = np.mgrid[:height, :width].astype(np.float32)
        img, ids = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.int32)
        for mask in stuff_regions(rng, x / width, y / height):
            kind = STUFF[rng.integers(len(STUFF))]
            img[mask] = colours(rng, kind, x[mask] / height, y[mask] / height, is_thing=False)
            ids[mask] = ids.max() + 1
        return np.clip(img, 0, 255).astype(np.uint8), ids

    def _thing(self, rng: np.random.Generator, k: int) -> _Sprite:
        height, width = self.options.height, self.options.width
        is_pillar = k == self.options.num_things - 1
        kind, shape = THINGS[rng.integers(len(THINGS))]
        radius = height * (0.16 if is_pillar else np.exp(rng.uniform(np.log(0.07), np.log(0.2))))
        img, mask = _draw_thing(rng, kind, shape, radius, is_pillar)
        middle = rng.uniform(0.2, 0.8, 2) * (width + self.margin, height)
        reach = rng.uniform(0.15, 0.35, 2) * (width, height)
        if k % 2:
            # leaves at the left or the right, and returns
            reach[0] = rng.uniform(0.6, 0.8) * (width + self.margin)
        if is_pillar:
            middle, reach = np.array([(width + self.margin) / 2, height / 2]), np.zeros(2)
        period = rng.uniform(120, 240)
        return _Sprite(img, mask, middle, reach, period, rng.uniform(0, 2 * np.pi, 2))


def _draw_thing(
    rng: np.random.Generator, kind: Appearance, shape: Pattern, radius: float, is_pillar: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pixels and mask of a thing by itself."""
    half = int(np.ceil(2.1 * radius))
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / radius
    if is_pillar:
        mask = np.abs(x) < 0.5
    else:
        mask = shape(rng, *rotate(x, y, rng.uniform(0, np.pi)))
    img = np.zeros((*mask.shape, 3))
    img[mask] = colours(rng, kind, x[mask] / 5, y[mask] / 5, is_thing=True)
    return np.clip(img, 0, 255).astype(np.uint8), mask


@dataclass(frozen=True)
class NetworkNoise:
    """What a network gets wrong, drawn at random.

    Attributes:
        jitter: How far borders are off, px.
        drop: Chance in a frame that an entity begins to be missed; it stays so for 1 to 4 frames.
        merge: Chance that an entity becomes one with a neighbour, likewise.
        split: Chance that an entity falls into two, in this frame only.
    """

    jitter: float = 1.5
    drop: float = 0.01
    merge: float = 0.01
    split: float = 0.003


class NoisyPrediction(NamedTuple):
    """Entities as a network may find them: numbered by score, differently in each frame."""

    entities: EntityMap
    scores: np.ndarray  # (K,), descending


class NoisyNetwork:
    """A stand-in for a network: the ground truth of one frame after the other with its mistakes.

    Args:
        noise: Kinds of mistakes.
        seed: The same seed gives the same mistakes.
    """

    def __init__(self, noise: NetworkNoise = NetworkNoise(), seed: int = 0) -> None:  # noqa: B008
        self.noise = noise
        self._rng = np.random.default_rng((seed, 1))
        # frames for which an entity is still missed, or one with its neighbour
        self._missed: dict[int, int] = {}
        self._merged: dict[int, int] = {}

    def __call__(self, ids: np.ndarray) -> NoisyPrediction:
        """Predict a frame from its ground truth, int32 ``(H, W)``."""
        rng, noise = self._rng, self.noise
        ids = self._jittered(ids)
        present = np.setdiff1d(ids, [0])
        for number in present.tolist():
            mask = ids == number
            if self._begins(self._missed, number, noise.drop):
                ids[mask] = 0
            elif self._begins(self._merged, number, noise.merge):
                around = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
                others = ids[around & ~mask & (ids > 0)]
                if others.size:
                    ids[mask] = np.bincount(others).argmax()
            elif rng.uniform() < noise.split:
                columns = np.flatnonzero(mask.any(axis=0))
                mask[:, : columns[len(columns) // 2]] = False
                ids[mask] = ids.max() + 1
        found, places = np.unique(ids, return_inverse=True)
        numbers = np.zeros(len(found), dtype=np.int32)
        numbers[found > 0] = 1 + rng.permutation(int((found > 0).sum()))
        scores = np.sort(rng.uniform(0.5, 1, int(numbers.max(initial=0))))[::-1]
        return NoisyPrediction(EntityMap(numbers[places].reshape(ids.shape), len(scores)), scores)

    def _begins(self, running: dict[int, int], number: int, chance: float) -> bool:
        """Whether a mistake begins or goes on."""
        left = running.get(number, 0)
        if left == 0 and self._rng.uniform() < chance:
            left = int(self._rng.integers(1, 5))
        running[number] = max(0, left - 1)
        return left > 0

    def _jittered(self, ids: np.ndarray) -> np.ndarray:
        """Shift each place by smooth noise."""
        if self.noise.jitter == 0:
            return ids.copy()
        height, width = ids.shape
        coarse = self._rng.normal(0, self.noise.jitter, (2, height // 16 + 2, width // 16 + 2))
        x, y = (cv2.resize(c.astype(np.float32), (width, height)) for c in coarse)
        x += np.arange(width, dtype=np.float32)
        y += np.arange(height, dtype=np.float32)[:, None]
        mapped = cv2.remap(
            ids.astype(np.uint16), x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        )
        return mapped.astype(np.int32)


def write_demo_video(
    path: Union[str, Path],
    options: SequenceOptions = SequenceOptions(),  # noqa: B008
    fps: float = 25.0,
) -> Path:
    """Draw a sequence into a video, mp4 or avi.

    Raises:
        OSError: If OpenCV has no encoder for it.
    """
    path = Path(path)
    code = 'mp4v' if path.suffix.lower() == '.mp4' else 'MJPG'
    with whole_file(path) as partial:
        size = (options.width, options.height)
        writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*code), fps, size)
        if not writer.isOpened():
            raise OSError(f'OpenCV has no encoder for {path}; name it .avi')
        for img, _ in DrawnSequence(options):
            writer.write(img[..., ::-1])
        writer.release()
    return path
