"""What is known of an entity over time: its track, and what happened to it."""

from dataclasses import dataclass
from typing import NamedTuple, Optional

EVENTS = ('birth', 'split', 'lost', 'found', 'merge', 'death')


class TrackEvent(NamedTuple):
    """What happened to a track in a frame.

    Attributes:
        kind: ``'birth'``: a new entity; ``'split'``: a new one out of the place of ``other``,
            which goes on; ``'lost'``: not seen, but remembered; ``'found'``: seen again;
            ``'merge'``: lost into ``other``, which covers its place from one frame to the next;
            ``'death'``: forgotten.
        frame: Number of the frame in the sequence, from 0.
        track: Id of the track.
        other: Id of the other track of a split or a merge.
    """

    kind: str
    frame: int
    track: int
    other: Optional[int] = None


@dataclass
class Track:
    """One entity through time.

    Attributes:
        id: From 1, in the order of appearance; never used twice in a sequence.
        first: Frame in which it was seen first, counted from 0.
        last: Frame in which it was seen last.
        frames: Number of frames in which it was seen.
        area_sum: Sum of its areas in these, px.
        score_sum: Sum of its scores in these.
    """

    id: int
    first: int
    last: int
    frames: int = 0
    area_sum: int = 0
    score_sum: float = 0.0

    @property
    def mean_area(self) -> float:
        """Mean area in the frames in which it was seen, px."""
        return self.area_sum / max(1, self.frames)

    @property
    def mean_score(self) -> float:
        """Mean score in the frames in which it was seen, 0..1."""
        return self.score_sum / max(1, self.frames)

    def see(self, frame: int, area: int, score: float) -> None:
        """Add a frame in which it was seen."""
        self.last = frame
        self.frames += 1
        self.area_sum += area
        self.score_sum += score
