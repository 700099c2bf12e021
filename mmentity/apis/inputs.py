"""What a user gives as input, as a sequence of images."""

import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional, Union

import cv2
import numpy as np
from PIL import Image

from mmentity.datasets.errors import SampleError
from mmentity.datasets.images import pil_to_bgr
from mmentity.utils.files import IMAGE_SUFFIXES

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg')
WILDCARDS = re.compile(r'[*?\[]')

ImageLike = Union[str, Path, np.ndarray, Image.Image]
Inputs = Union[ImageLike, Sequence[ImageLike]]


@dataclass(frozen=True)
class InputImage:
    """One input image, not loaded yet.

    Attributes:
        name: Path below the folder, glob or video that it came from, without
            suffix, with ``/``; unique among the inputs. Arrays are numbered.
        path: Its file, or the video that it is a frame of; None for arrays.
        frame: Number of the frame in the video, from 0.
        content: uint8 BGR ``(H0, W0, 3)`` or a PIL image, where it is in memory.
        error: Why it is known to be unusable, if it is.
    """

    name: str
    path: Optional[str] = None
    frame: Optional[int] = None
    content: Optional[Union[np.ndarray, Image.Image]] = field(default=None, repr=False)
    error: Optional[SampleError] = None


@dataclass(frozen=True)
class Video:
    """A video file, as the sequence of its frames."""

    name: str
    path: str

    def __len__(self) -> int:
        """Return the number of frames that the file declares."""
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
        capture = cv2.VideoCapture(self.path)
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

    def _decode(self, capture: cv2.VideoCapture, number: int) -> InputImage:
        name = f'{self.name}/{number:06d}'
        decoded, content = capture.retrieve()
        if decoded:
            return InputImage(name, self.path, number, content)
        error = SampleError(f'frame {number} of {self.path} is damaged; encode the video again')
        return InputImage(name, self.path, number, error=error)


Source = Union[InputImage, Video]


def list_inputs(inputs: Inputs) -> list[Source]:
    """List the images and videos that the inputs stand for.

    A folder stands for its image and video files, in natural order (``9``
    before ``10``), not those below; a glob for what it matches, ``**``
    through all folders. Names are relative to the folder, or to the part of a
    glob before its first wildcard; of several inputs, to what their folders
    have in common.

    Args:
        inputs: Path of an image, video or folder, a glob, an array (uint8
            grey, BGR or BGRA, as OpenCV has them), a PIL image, or a list.

    Raises:
        FileNotFoundError: If an input does not exist or holds no image.
        ValueError: If two inputs would have the same name.
    """
    if isinstance(inputs, (str, Path, np.ndarray, Image.Image)):
        inputs = [inputs]
    named = dict.fromkeys(str(value) for value in inputs if isinstance(value, (str, Path)))
    groups = [_expand(value) for value in named]
    root = os.path.commonpath([os.path.abspath(folder) for folder, _ in groups]) if groups else ''
    files = dict.fromkeys(file for _, paths in groups for file in paths)
    listed = [_source(file, root) for file in files]
    arrays = [value for value in inputs if not isinstance(value, (str, Path))]
    width = max(6, len(str(len(arrays))))
    listed += [InputImage(f'{k:0{width}d}', content=value) for k, value in enumerate(arrays)]
    if not listed:
        raise FileNotFoundError('there is no input; name an image, a video, a folder or a glob')
    _check_names(listed)
    return listed


def iterate(
    listed: Iterable[Source], every: int = 1, part: tuple[int, int] = (1, 1)
) -> Iterator[InputImage]:
    """Go through images and the frames of videos.

    Args:
        listed: What :func:`list_inputs` returned.
        every: Take every n-th image.
        part: ``(i, n)``: of these, take the i-th and every n-th after it, i in 1..n.
    """
    places = itertools.count()
    first, step = every * (part[0] - 1), every * part[1]

    def wanted() -> bool:
        return next(places) % step == first

    for source in listed:
        if isinstance(source, Video):
            yield from source.frames(wanted)
        elif wanted():
            yield source


def count(listed: Iterable[Source], every: int = 1, part: tuple[int, int] = (1, 1)) -> int:
    """Count what :func:`iterate` gives, by the frames that videos declare."""
    total = sum(len(source) if isinstance(source, Video) else 1 for source in listed)
    first, step = every * (part[0] - 1), every * part[1]
    return max(0, -(-(total - first) // step))


def to_bgr(content: Union[np.ndarray, Image.Image]) -> np.ndarray:
    """Convert an image in memory to uint8 BGR ``(H0, W0, 3)``.

    Args:
        content: PIL image (converted like a file), or uint8 ``(H0, W0)`` grey,
            ``(H0, W0, 3)`` BGR, ``(H0, W0, 4)`` BGRA.

    Raises:
        SampleError: If it is something else.
    """
    if isinstance(content, Image.Image):
        try:
            return pil_to_bgr(content)
        except (OSError, ValueError, SyntaxError) as error:
            raise SampleError(f'the PIL image cannot be used: {error}') from error
    if not isinstance(content, np.ndarray):
        raise SampleError(
            f'{type(content).__name__} is no image; give a path, an array or a PIL image'
        )
    channels = content.shape[2] if content.ndim == 3 else 1 if content.ndim == 2 else 0
    if content.dtype != np.uint8 or channels not in (1, 3, 4) or 0 in content.shape:
        raise SampleError(
            f'an array of {content.dtype} and shape {content.shape} is no image; give uint8 '
            '(H, W) grey, (H, W, 3) BGR or (H, W, 4) BGRA'
        )
    if channels == 1:
        return np.repeat(content.reshape(*content.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(content[..., :3])


def natural_key(path: str) -> list[tuple[int, str]]:
    """Sort key in which numbers count as numbers."""
    parts = re.split(r'(\d+)', path)
    return [(int(part), part) if k % 2 else (0, part.lower()) for k, part in enumerate(parts)]


def _expand(value: str) -> tuple[str, list[str]]:
    """Return the folder that names are relative to, and the files that an input stands for."""
    if os.path.isdir(value):
        files = _usable(os.path.join(value, name) for name in os.listdir(value))
        if not files:
            raise FileNotFoundError(
                f'{value} holds no image ({", ".join(IMAGE_SUFFIXES)}) and no video '
                f"({', '.join(VIDEO_SUFFIXES)}); a glob such as '{value}/**/*.jpg' goes deeper"
            )
        return value, files
    if os.path.exists(value):
        return os.path.dirname(value) or '.', [value]
    wildcard = WILDCARDS.search(value)
    if wildcard:
        files = _usable(glob.glob(value, recursive=True))
        if not files:
            raise FileNotFoundError(f'no image and no video matches {value!r}')
        fixed = value[: wildcard.start()]
        return os.path.dirname(fixed) or '.', files
    raise FileNotFoundError(f'{value} does not exist')


def _usable(paths: Iterable[str]) -> list[str]:
    known = IMAGE_SUFFIXES + VIDEO_SUFFIXES
    return sorted((path for path in paths if path.lower().endswith(known)), key=natural_key)


def _source(path: str, root: str) -> Source:
    name = os.path.splitext(os.path.relpath(os.path.abspath(path), root))[0].replace(os.sep, '/')
    is_video = path.lower().endswith(VIDEO_SUFFIXES)
    return Video(name, path) if is_video else InputImage(name, path)


def _check_names(listed: Sequence[Source]) -> None:
    seen: dict[str, Source] = {}
    for source in listed:
        other = seen.setdefault(source.name, source)
        if other is not source:
            raise ValueError(
                f'{other.path} and {source.path} have the same name without suffix, so their '
                'results would overwrite each other; rename one or predict them one by one'
            )
