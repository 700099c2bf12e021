"""What is remembered of an entity: its shape when it was seen whole, and where that is by now."""

from dataclasses import dataclass, field
from typing import Optional

import numpy as np

from mmentity.tracking.tracks import Track

# An area within these parts of the usual one is that of the whole entity.
WHOLE = (0.85, 1.2)
# A larger change of the area is no motion: the middle of what is seen moves by it, too.
STEADY = 0.05
# Frames in which a track is seen before it counts as one of its own.
YOUNG = 3
# Share of the newest value in running means of area and velocity.
NEW_AREA, NEW_VELOCITY = 0.1, 0.3


@dataclass
class Shape:
    """Pixels of an entity in one frame, which move on from there.

    Attributes:
        mask: bool ``(h, w)``.
        place: x and y of its top left corner, px, float64.
    """

    mask: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, ids: np.ndarray, number: int) -> 'Shape':
        """Cut the pixels of a number out of a map ``(H, W)`` that has some."""
        mask = ids == number
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        return cls(mask[box].copy(), np.array([columns[0], rows[0]], dtype=float))

    def move(self, camera: np.ndarray, velocity: np.ndarray, size: tuple[int, ...]) -> None:
        """Go on by one frame over a map of a height and width.

        The camera may move the shape out of the map, and back. Where it leaves by its own
        velocity it waits with its middle at the border, where it may return.
        """
        self.place = self.place + camera
        middle = self.place + velocity + np.array(self.mask.shape[::-1]) / 2
        if (middle >= 0).all() and (middle <= np.array(size[::-1])).all():
            self.place = self.place + velocity

    def shared(self, ids: np.ndarray, num_entities: int) -> np.ndarray:
        """Count the pixels that the shape shares with each value of a map, int64 ``(K + 1,)``."""
        x, y = np.round(self.place).astype(int)
        height, width = self.mask.shape
        below = ids[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
        top, left = max(0, -y), max(0, -x)
        mask = self.mask[top : top + below.shape[0], left : left + below.shape[1]]
        return np.bincount(below[mask], minlength=num_entities + 1)


@dataclass
class Target:
    """A track that may be seen again, and what helps to know it.

    Attributes:
        track: Its record.
        area: Area when it was seen last, px.
        usual_area: Running mean of its area as long as it is seen whole, px.
        velocity: x and y in px from frame to frame, beside the motion of the camera.
        centre: x and y of its centre when it was seen last, px; NaN for a very small one.
        shape: Its pixels before it was hidden in part or in whole, or merged with another.
        since: Frame from which on it has that shape.
    """

    track: Track
    area: int = 0
    usual_area: float = 0.0
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    centre: Optional[np.ndarray] = None
    shape: Optional[Shape] = None
    since: int = 0

    @property
    def is_young(self) -> bool:
        """Whether it was seen in so few frames that it may be another one that came back."""
        return self.track.frames <= YOUNG

    @property
    def is_whole(self) -> bool:
        """Whether it was seen about as large as usual."""
        low, high = WHOLE
        return low * self.usual_area <= self.area <= high * self.usual_area

    def see(self, area: int, velocity: Optional[np.ndarray], centre: np.ndarray) -> None:
        """Take over area, velocity and centre of a frame, px.

        While it is not seen whole its velocity and usual area stay what they were, and the velocity
        while its area changes.
        """
        self.area, self.centre = area, centre
        self.usual_area = self.usual_area or float(area)
        if not self.is_whole or self.shape is not None:
            return
        is_steady = abs(area - self.usual_area) <= STEADY * self.usual_area
        self.usual_area += NEW_AREA * (area - self.usual_area)
        if is_steady and velocity is not None and np.isfinite(velocity).all():
            share = NEW_VELOCITY if self.track.frames > 2 else 1.0
            self.velocity = self.velocity + share * (velocity - self.velocity)

    def settle(self, frame: int, memory: int) -> None:
        """Drop the remembered shape where it is seen whole again, or different for long."""
        if self.is_whole:
            self.shape = None
        elif frame - self.since > memory:
            self.shape, self.usual_area = None, float(self.area)
