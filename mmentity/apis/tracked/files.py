"""The files of a tracked sequence: its table of tracks, and a video with stable colours."""

import csv
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Optional

import cv2
import numpy as np

from mmentity.apis.inputs import InputImage
from mmentity.tracking import Track, TrackedResult
from mmentity.utils.files import whole_file

COLUMNS = (
    'track', 'first', 'last', 'first_name', 'last_name', 'frames', 'mean_area', 'mean_score',
    'events',
)  # fmt: skip
# Encoders by suffix, the best first. OpenCV writes the last one without FFmpeg.
ENCODERS = {'.mp4': 'mp4v', '.avi': 'MJPG'}
# of videos of folders, which have no speed of their own
FRAMES_A_SECOND = 10.0


class TrackTable:
    """One row for each track of a sequence, written as csv.

    Numbers of frames count from 0 in the sequence; names are those of the images. Events are
    words such as ``lost@12 found@15 merge:5@31``, each with its frame, and with the other track.
    """

    def __init__(self) -> None:
        self._rows: dict[int, list[object]] = {}
        self._names: dict[int, list[str]] = {}
        self._events: dict[int, list[str]] = defaultdict(list)

    def __len__(self) -> int:
        """Return the number of tracks that have ended."""
        return len(self._rows)

    def add(self, tracked: TrackedResult, name: str) -> None:
        """Take a frame and the name of its image."""
        for number in tracked.track_ids[tracked.track_ids > 0].tolist():
            first = self._names[number][0] if number in self._names else name
            self._names[number] = [first, name]
        for event in tracked.events:
            other = '' if event.other is None else f':{event.other}'
            self._events[event.track].append(f'{event.kind}{other}@{event.frame}')
        self.close(tracked.ended)

    def close(self, tracks: Iterable[Track]) -> None:
        """Take tracks that have ended."""
        for track in tracks:
            self._rows[track.id] = [
                track.id,
                track.first,
                track.last,
                *self._names.pop(track.id),
                track.frames,
                f'{track.mean_area:.1f}',
                f'{track.mean_score:.4f}',
                ' '.join(self._events.pop(track.id)),
            ]

    def write(self, path: Path, scratch: Path) -> None:
        """Write what was taken."""
        with whole_file(path, scratch) as partial, partial.open('w', newline='') as stream:
            writer = csv.writer(stream, lineterminator='\n')
            writer.writerow(COLUMNS)
            writer.writerows(self._rows[number] for number in sorted(self._rows))


class VideoFile:
    """A video of frames of one size; where writing it raises, nothing stays behind.

    Args:
        path: mp4 or avi.
        scratch: Folder in which it is written at first.
        fps: Frames a second.
    """

    def __init__(self, path: Path, scratch: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self._file = whole_file(path, scratch)
        self._writer: Optional[cv2.VideoWriter] = None

    def __enter__(self) -> 'VideoFile':
        """Begin to write."""
        self._partial = self._file.__enter__()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """End the video; one without a frame is no file."""
        if self._writer is not None:
            self._writer.release()
        if kind is None and self._writer is None:
            kind, error = _NoFrame, _NoFrame()
        with suppress(_NoFrame):
            self._file.__exit__(kind, error, traceback)

    def add(self, img: np.ndarray) -> None:
        """Add a frame, uint8 RGB ``(H, W, 3)``.

        Raises:
            OSError: If OpenCV cannot write it.
        """
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*ENCODERS[self.path.suffix])
            size = (img.shape[1], img.shape[0])
            self._writer = cv2.VideoWriter(str(self._partial), code, self.fps, size)
            if not self._writer.isOpened():
                raise OSError(f'OpenCV cannot write {self.path}, {size[0]}x{size[1]} px')
        self._writer.write(cv2.cvtColor(img, cv2.COLOR_RGB2BGR))


class _NoFrame(Exception):  # noqa: N818
    """The end of a video that has no frame."""


def video_suffix(scratch: Path) -> str:
    """Return the first of ``ENCODERS`` that this OpenCV has, by writing a frame in a folder."""
    for suffix, code in ENCODERS.items():
        path = scratch / f'encoder{suffix}'
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10.0, (64, 64))
        is_open = writer.isOpened()
        writer.release()
        path.unlink(missing_ok=True)
        if is_open:
            return suffix
    raise OSError('OpenCV has no encoder for videos; leave the video out (--no-track-video)')


def frames_a_second(image: InputImage) -> float:
    """Return the speed of the video that an image is a frame of, or the default."""
    if image.path is None or image.frame is None:
        return FRAMES_A_SECOND
    capture = cv2.VideoCapture(image.path)
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return float(fps) if 0 < fps < 1000 else FRAMES_A_SECOND
