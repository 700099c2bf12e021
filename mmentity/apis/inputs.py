"""What a user gives as input, as a sequence of images."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np
from PIL import Image

from mmentity.apis.folders import files_below, matching_files
from mmentity.apis.left_out import FOLDERS, LeftOut, numbered
from mmentity.apis.sources import (
    FRAME_SUFFIXES,
    VIDEO_SUFFIXES,
    ImageFrames,
    InputImage,
    Source,
    Video,
)
from mmentity.datasets.errors import SampleError
from mmentity.datasets.images import EXTRA_SUFFIXES, decode_bgr, pil_to_bgr
from mmentity.datasets.rules import IMAGE_ERRORS, decoding_image
from mmentity.utils.files import IMAGE_SUFFIXES

WILDCARDS = re.compile(r'[*?\[]')

ImageLike = Union[str, Path, bytes, np.ndarray, Image.Image]
Inputs = Union[ImageLike, Iterable[ImageLike]]


@dataclass(frozen=True)
class ListOptions:
    """How inputs are turned into images.

    Attributes:
        recursive: Whether a folder stands for what is below it too; each folder
            is visited once, whatever links lead to it.
        frames: Whether animated images and files of several pages stand for all
            their frames, as videos do; the first one by default.
        root: Folder that names are relative to, for all inputs; by default to the
            folder that each input names.
        keep_missing: Whether an input that does not exist is an image that
            fails, instead of an error before the work.
    """

    recursive: bool = False
    frames: bool = False
    root: Optional[Union[str, Path]] = None
    keep_missing: bool = False

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files that folders and globs stand for, in lower case."""
        frames = FRAME_SUFFIXES if self.frames else ()
        return (*IMAGE_SUFFIXES, *EXTRA_SUFFIXES, *VIDEO_SUFFIXES, *frames)


def expand(
    inputs: Inputs,
    options: ListOptions = ListOptions(),  # noqa: B008
    left_out: Optional[LeftOut] = None,
) -> Iterator[Source]:
    """Go through the images and videos that the inputs stand for, in their order.

    A folder stands for its image and video files, in natural order (``9``
    before ``10``), a glob for what it matches, ``**`` through all folders; files
    and folders whose name begins with a dot are ignored. Names are relative to the
    folder, or to the part of a glob before its first wildcard.

    Args:
        inputs: Path of an image, video or folder, a glob, an array (uint8
            grey, BGR or BGRA, as OpenCV has them), a PIL image, the bytes of a file, or any
            iterable of these, which is taken from as its turn comes.
        options: How.
        left_out: Takes the number of files of folders and globs that are no input, by
            suffix, and of folders that are not gone into.

    Yields:
        At least one source for each input; for one that does not exist or holds no
        image, an image with the error.

    Raises:
        ValueError: If an input is of none of these kinds.
    """
    left_out = LeftOut() if left_out is None else left_out
    arrays = 0
    for value in _each(inputs):
        if isinstance(value, (str, os.PathLike)):
            yield from _sources_of(os.fsdecode(value), options, left_out)
        else:
            yield InputImage(f'{arrays:06d}', content=value)
            arrays += 1


def list_inputs(
    inputs: Inputs,
    options: ListOptions = ListOptions(),  # noqa: B008
    left_out: Optional[LeftOut] = None,
) -> list[Source]:
    """List what :func:`expand` goes through, a file that is given twice once.

    Raises:
        FileNotFoundError: If there is no input, or one does not exist or holds no
            image and ``keep_missing`` is not set.
        ValueError: If an input is of no known kind, or outside of ``root``.
    """
    listed: dict[object, Source] = {}
    for source in expand(inputs, options, left_out):
        error = getattr(source, 'error', None)
        if error is not None and not options.keep_missing:
            raise error
        listed.setdefault(os.path.abspath(source.path) if source.path else id(source), source)
    if not listed:
        raise FileNotFoundError('there is no input; name an image, a video, a folder or a glob')
    return list(listed.values())


def iterate(
    listed: Iterable[Source], every: int = 1, part: tuple[int, int] = (1, 1)
) -> Iterator[InputImage]:
    """Go through images and the frames of videos.

    Args:
        listed: What :func:`expand` or :func:`list_inputs` gives.
        every: Take every n-th image of each folder and every n-th frame of each
            video, from the first.
        part: ``(i, n)``: of these, take the i-th and every n-th after it, i in 1..n.
    """
    seen: Counter[str] = Counter()
    taken = 0

    def wanted(source: Source) -> bool:
        nonlocal taken
        key = _sequence_key(source)
        seen[key] += 1
        if (seen[key] - 1) % every:
            return False
        taken += 1
        return (taken - 1) % part[1] == part[0] - 1

    for source in listed:
        if isinstance(source, InputImage):
            if wanted(source):
                yield source
        else:
            yield from source.frames(_asking(wanted, source))


def count(listed: Iterable[Source], every: int = 1, part: tuple[int, int] = (1, 1)) -> int:
    """Count what :func:`iterate` gives, by the frames that videos declare."""
    sizes: Counter[str] = Counter()
    for source in listed:
        sizes[_sequence_key(source)] += 1 if isinstance(source, InputImage) else len(source)
    total = sum(-(-size // every) for size in sizes.values())
    return max(0, -(-(total - part[0] + 1) // part[1]))


def _asking(wanted: Callable[[Source], bool], source: Source) -> Callable[[], bool]:
    return lambda: wanted(source)


def _sequence_key(source: Source) -> str:
    """Return what counts by itself: the folder of an image, a video."""
    if isinstance(source, InputImage):
        return os.path.dirname(source.path or '')
    return source.path


def to_bgr(content: Any, depth: str = 'auto', place: str = 'the image') -> np.ndarray:
    """Convert an image in memory to uint8 BGR ``(H0, W0, 3)``.

    Args:
        content: Bytes of a file, PIL image (converted like a file), or uint8 ``(H0, W0)``
            grey, ``(H0, W0, 3)`` BGR, ``(H0, W0, 4)`` BGRA.
        depth: Bits of 16-bit files and PIL images, see :func:`.pil_to_bgr`.
        place: Name of a file, for messages.

    Raises:
        SampleError: If it is something else.
    """
    if isinstance(content, bytes):
        with decoding_image(place):
            return decode_bgr(content, place, depth)
    if isinstance(content, Image.Image):
        try:
            return pil_to_bgr(content, depth, 'the PIL image')
        except SampleError:
            raise
        except IMAGE_ERRORS as error:
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


def is_single(inputs: object) -> bool:
    """Whether an input is one value, and no collection of values."""
    # arrays and tensors can be iterated over too, and are one image, or a mistake
    return isinstance(inputs, (str, bytes, os.PathLike, Image.Image)) or hasattr(inputs, 'shape')


def _each(inputs: Any) -> Iterable[Any]:
    if is_single(inputs):
        return [inputs]
    if not isinstance(inputs, Iterable):
        raise ValueError(
            f'{type(inputs).__name__} is no input; give a path, an array, a PIL image, or an '
            'iterable of these'
        )
    return inputs


def _sources_of(value: str, options: ListOptions, left_out: LeftOut) -> Iterable[Source]:
    """Return what one path or glob stands for."""
    try:
        folder, files = _expand(value, options, left_out)
    except FileNotFoundError as error:
        return [InputImage(Path(value).stem, value, error=error)]
    root = os.path.abspath(folder if options.root is None else options.root)
    return [_source(file, root, options) for file in files]


def _expand(value: str, options: ListOptions, left_out: LeftOut) -> tuple[str, list[str]]:
    """Return the folder that names are relative to, and the files that an input stands for."""
    if os.path.isdir(value):
        found = LeftOut()
        files = _usable(_files_below(value, options, found), options, found)
        left_out.update(found)
        if not files:
            raise FileNotFoundError(
                f'{value} holds no image and no video ({found.describe() or "it is empty"})'
            )
        return value, files
    if os.path.exists(value):
        return os.path.dirname(value) or '.', [value]
    wildcard = WILDCARDS.search(value)
    if wildcard:
        found = LeftOut()
        files = _usable(matching_files(value), options, found)
        left_out.update(found)
        if not files:
            raise FileNotFoundError(
                f'no image and no video matches {value!r} ({found.describe() or "nothing does"})'
            )
        fixed = value[: wildcard.start()]
        return os.path.dirname(fixed) or '.', files
    raise FileNotFoundError(f'{value} does not exist')


def _files_below(folder: str, options: ListOptions, left_out: LeftOut) -> Iterator[str]:
    """Go through the files of a folder, and of those below it where this is asked for."""
    if options.recursive:
        yield from files_below(folder)
        return
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith('.'):
            continue
        # a folder that is named like an image is an image that cannot be read
        if name.lower().endswith(options.suffixes) or not os.path.isdir(path):
            yield path
        else:
            left_out[FOLDERS] += 1


def _usable(paths: Iterable[str], options: ListOptions, left_out: LeftOut) -> list[str]:
    usable = []
    for path in paths:
        if path.lower().endswith(options.suffixes):
            usable.append(path)
        elif not os.path.isdir(path):
            left_out[os.path.splitext(path)[1].lower() or 'without suffix'] += 1
    return sorted(usable, key=natural_key)


def _source(path: str, root: str, options: ListOptions) -> Source:
    relative = os.path.relpath(os.path.abspath(path), root)
    if relative.startswith(os.pardir + os.sep):
        raise ValueError(f'{path} is not below {root}, the root of all names')
    name = os.path.splitext(relative)[0].replace(os.sep, '/')
    suffix = os.path.splitext(path)[1].lower()
    if suffix in VIDEO_SUFFIXES:
        return Video(name, path)
    if options.frames and suffix in FRAME_SUFFIXES:
        return ImageFrames(name, path)
    return InputImage(name, path)


def describe_inputs(listed: Iterable[Source], left_out: LeftOut) -> str:
    """Say how many images and videos there are, what was left out, and how to get it."""
    kinds = Counter(_kind(source) for source in listed)
    counted = ' and '.join(numbered(number, kind) for kind, number in kinds.items())
    more = left_out.describe()
    return f'{counted}; {more}' if more else counted


def _kind(source: Source) -> str:
    if isinstance(source, InputImage):
        return 'image'
    return 'video' if isinstance(source, Video) else 'file of frames'
