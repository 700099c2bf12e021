"""One id for an entity through a sequence of frames."""

from mmentity.tracking.tracker import (
    EntityTracker,
    Frame,
    FrameSizeError,
    TooManyTracksError,
    TrackedResult,
    TrackOptions,
)
from mmentity.tracking.tracks import Track, TrackEvent

__all__ = [
    'EntityTracker',
    'Frame',
    'FrameSizeError',
    'TooManyTracksError',
    'Track',
    'TrackEvent',
    'TrackOptions',
    'TrackedResult',
]
