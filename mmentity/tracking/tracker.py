"""Stable ids of entities through a sequence, one frame after the other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Optional, Protocol

import numpy as np

from mmentity.structures import EntityMap
from mmentity.tracking.motion import DenseFlow
from mmentity.tracking.scene import Scene, Step
from mmentity.tracking.tracks import Track, TrackEvent

# of the map of the frame before, which OpenCV warps
MOST_ENTITIES = np.iinfo(np.uint16).max


class FrameSizeError(ValueError):
    """A frame has another size than those before it."""


class TooManyTracksError(ValueError):
    """There are more tracks than ids."""


@dataclass(frozen=True)
class TrackOptions:
    """How entities are followed.

    Attributes:
        memory: Frames for which an entity that is not seen is remembered; 0 matches each frame
            with the one before only.
        flow: Whether motion between frames is compensated by dense optical flow, for which
            frames need their images.
        min_iou: Lowest IoU of an entity with its place in the frame before.
        min_share: Lowest part of the smaller one that an entity shares with a place where
            another one was, or is remembered, and no better one is found.
        largest_id: Largest track id, such as that of the type in which maps are written.

    Raises:
        ValueError: If a value is out of range.
    """

    memory: int = 20
    flow: bool = False
    min_iou: float = 0.2
    min_share: float = 0.5
    largest_id: int = np.iinfo(np.int32).max

    def __post_init__(self) -> None:
        if self.memory < 0:
            raise ValueError(f'track-memory is {self.memory}; it is a number of frames, 0 or more')
        for name in ('min_iou', 'min_share'):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f'{name} is {getattr(self, name)}; it is in 0..1, above 0')
        if self.largest_id < 1:
            raise ValueError(f'largest_id is {self.largest_id}; it must be at least 1')


class FrameResult(Protocol):
    """What the tracker reads of a frame; :class:`mmentity.apis.EntityResult` has it."""

    @property
    def entities(self) -> EntityMap:
        """Entities of the frame, disjoint."""

    @property
    def scores(self) -> np.ndarray:
        """Score of each entity, 0..1, ``(K,)``."""

    @property
    def image(self) -> Optional[np.ndarray]:
        """The frame, uint8 RGB ``(H, W, 3)``, for motion compensation."""


class Frame(NamedTuple):
    """A frame as a bare map, for those who have no ``EntityResult``."""

    entities: EntityMap
    scores: np.ndarray
    image: Optional[np.ndarray] = None


@dataclass(frozen=True, eq=False)
class TrackedResult:
    """The entities of a frame with their tracks.

    Attributes:
        result: The frame's own result, as it was given.
        frame: Number of the frame in the sequence, from 0.
        track_ids: Track of each row of the result, int32 ``(K,)``; 0 for one without a pixel.
        events: What happened in this frame.
        ended: Tracks that were forgotten in this frame.
    """

    result: FrameResult
    frame: int
    track_ids: np.ndarray
    events: list[TrackEvent]
    ended: list[Track]

    @property
    def id_map(self) -> np.ndarray:
        """Track of each pixel, int32 ``(H, W)``; 0 = no entity."""
        return self.result.entities.renumber(self.track_ids)[0]


class EntityTracker:
    """Give each entity of a sequence one id, by the overlap of its maps.

    An entity keeps the id of the one in the frame before with which it shares most. What is
    not seen any more is remembered as a shape that moves on, and gets its id back where an
    entity appears that lies in it. Memory and time of a frame do not depend on how many there
    were before. One tracker follows one sequence; :meth:`finish` makes it ready for the next.

    Args:
        options: How.

    Examples:
        >>> tracker = EntityTracker(TrackOptions(flow=True))
        >>> for result in inferencer.stream('walk.mp4', keep_image=True):
        ...     tracked = tracker.update(result.select(score_thr=0.5))
        ...     print(tracked.track_ids, tracked.id_map.shape, tracked.result.name)
        >>> tracks = tracker.finish()
    """

    def __init__(self, options: TrackOptions = TrackOptions()) -> None:  # noqa: B008
        self.options = options
        self._reset()

    def _reset(self) -> None:
        self._frame = 0
        self._scene = Scene(self.options.memory)
        self._flow = DenseFlow() if self.options.flow else None

    def stream(self, results: Iterable[FrameResult]) -> Iterator[TrackedResult]:
        """Follow the entities of one sequence, as its frames are asked for."""
        for result in results:
            yield self.update(result)

    def skip(self) -> None:
        """Count a frame of which nothing is known, such as a damaged one."""
        self._frame += 1

    def finish(self) -> list[Track]:
        """End the sequence.

        Returns:
            Its tracks that have not ended in a frame, those seen or remembered, by id.
        """
        tracks = self._scene.tracks()
        self._reset()
        return tracks

    def update(self, result: FrameResult) -> TrackedResult:
        """Follow the entities into the next frame.

        Args:
            result: Its entities, numbered 1..K in the order of the scores.

        Raises:
            FrameSizeError: If the frame has another size than those before; the tracker is as
                it was, as it is where entities overlap or an image that is needed is missing.
            TooManyTracksError: If there are more tracks than ids, which ends the sequence.
            ValueError: If entities overlap, or an image that is needed is missing.
        """
        entities = self._checked(result)
        motion = None
        if self._flow is not None and result.image is not None:
            motion = self._flow(result.image)
        scene, options = self._scene, self.options
        step = Step(self._frame, entities, result.scores, motion)
        found = scene.associate(step, options.min_iou, options.min_share)
        last_id = scene.next_id + len(found.new_rows) - 1
        if last_id > options.largest_id:
            raise TooManyTracksError(
                f'frame {self._frame} is the first with track {last_id}, but ids go up to '
                f'{options.largest_id}'
            )
        events, ended = scene.take(step, found)
        track_ids = np.zeros(entities.num_entities, dtype=np.int32)
        for row, target in found.target_of.items():
            track_ids[row] = target.track.id
        self._frame += 1
        return TrackedResult(result, step.frame, track_ids, events, ended)

    def _checked(self, result: FrameResult) -> EntityMap:
        """Return the entities of a frame if they can be followed."""
        entities, image, before = result.entities, result.image, self._scene.ids
        size = entities.ids.shape[1:]
        if not entities.is_disjoint or entities.num_entities > MOST_ENTITIES:
            raise ValueError(
                f'frame {self._frame} has {entities.num_entities} entities in {len(entities.ids)} '
                f'layers; the tracker follows up to {MOST_ENTITIES:,} that do not overlap'
            )
        if before is not None and size != before.shape:
            raise FrameSizeError(
                f'frame {self._frame} is {size[0]}x{size[1]}, those before it '
                f'{before.shape[0]}x{before.shape[1]} (height x width); resize it, or make it '
                'the first of another sequence'
            )
        if self._flow is not None and (image is None or image.shape[:2] != size):
            shown = 'none' if image is None else f'{image.shape[0]}x{image.shape[1]}'
            raise ValueError(
                f'motion compensation needs the image of frame {self._frame} at the size of its '
                f'map, {size[0]}x{size[1]}, and there is {shown}; predict with keep_image=True'
            )
        return entities
