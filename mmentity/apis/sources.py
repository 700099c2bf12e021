"""One input image, and the files that are many: videos, animated images, pages."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple, Optional, Union

import numpy as np
from PIL import Image

from mmentity.datasets.errors import SampleError
from mmentity.datasets.images import number_of_frames
from mmentity.datasets.rules import decoding_image
from mmentity.utils.dependencies import import_opencv

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg')
# of image files that may hold several frames or pages
FRAME_SUFFIXES = ('.gif', '.webp', '.png', '.apng', '.tif', '.tiff', '.avif')


class FileStamp(NamedTuple):
    """What tells whether a file has changed: its size, and when it was written, in ns."""

    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class InputImage:
    """One input image, not loaded yet.

    Attributes:
        name: Path below the folder, glob or video that it came from, without
            suffix, with ``/``. Arrays are numbered.
        path: Its file, or the video that it is a frame of; None for arrays.
        frame: Number of the frame in the video, from 0.
        content: Bytes of a file, a PIL image or uint8 BGR ``(H0, W0, 3)``, where it is in memory.
        error: Why it is known to be unusable, if it is.
        stamp: State of the file when its turn came, where somebody asked for it.
        crop_boxes: int ``(N, 4)`` xyxy px, where others than those of the config are wanted.
    """

    name: str
    path: Optional[str] = None
    frame: Optional[int] = None
    content: Optional[Union[bytes, np.ndarray, Image.Image]] = field(default=None, repr=False)
    error: Optional[Exception] = None
    stamp: Optional[FileStamp] = None
    crop_boxes: Optional[np.ndarray] = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        place = self.path or self.name
        return place if self.frame is None else f'frame {self.frame} of {place}'


@dataclass(frozen=True)
class Video:
    """A video file, as the sequence of its frames."""

    name: str
    path: str

    def __len__(self) -> int:
        """Return the number of frames that the file declares."""
        cv2 = import_opencv('videos')
        capture = cv2.VideoCapture(self.path)
        try:
            return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        finally:
            capture.release()

    def frames(self, wanted: Callable[[], bool]) -> Iterator[InputImage]:
        """Decode the wanted frames, in order; others are only stepped over.

        Args:
            wanted: Asked once for each frame.

        Yields:
            Frames; one unusable image where the file is no video.
        """
        capture = import_opencv('videos').VideoCapture(self.path)
        number = 0
        try:
            while capture.grab():
                if wanted():
                    yield self._decode(capture, number)
                number += 1
        finally:
            capture.release()
        if number == 0 and wanted():
            error = SampleError(
                f'{self.path} is no video that OpenCV can read; convert it to mp4 (H.264)'
            )
            yield InputImage(self.name, self.path, error=error)

    def _decode(self, capture: Any, number: int) -> InputImage:
        name = frame_name(self.name, number)
        decoded, content = capture.retrieve()
        if decoded:
            return InputImage(name, self.path, number, content)
        error = SampleError(f'frame {number} of {self.path} is damaged; encode the video again')
        return InputImage(name, self.path, number, error=error)


@dataclass(frozen=True)
class ImageFrames:
    """An image file that may hold several frames or pages, as the sequence of these."""

    name: str
    path: str

    def __len__(self) -> int:
        """Return the number of frames, 1 for a file that cannot be read."""
        with suppress(Exception), Image.open(self.path) as image:
            return number_of_frames(image)
        return 1

    def frames(self, wanted: Callable[[], bool]) -> Iterator[InputImage]:
        """Decode the wanted frames, in order; a file of one frame is that image.

        Args:
            wanted: Asked once for each frame.
        """
        number = len(self)
        if number == 1:
            if wanted():
                yield InputImage(self.name, self.path)
            return
        # in the thread that asks, as those of videos: each goes on from the one before
        with Image.open(self.path) as image:
            for frame in range(number):
                if wanted():
                    yield self._decode(image, frame)

    def _decode(self, image: Image.Image, number: int) -> InputImage:
        name = frame_name(self.name, number)
        try:
            with decoding_image(f'frame {number} of {self.path}'):
                image.seek(number)
                return InputImage(name, self.path, number, image.copy())
        except Exception as error:
            return InputImage(name, self.path, number, error=error)


Source = Union[InputImage, Video, ImageFrames]


def frame_name(name: str, number: int) -> str:
    """Name a frame after its file."""
    return f'{name}/{number:06d}'
