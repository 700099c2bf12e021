"""Which frames are one sequence, and what it is called."""

import os
from collections.abc import Iterable
from pathlib import PurePosixPath

from mmentity.apis.export.file_names import sequence_of
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.inputs import InputImage, Source
from mmentity.apis.sources import ImageFrames, frame_name


def sequence_key(source: Source) -> str:
    """Return what frames of one sequence have in common: a video, or the folder of images."""
    if isinstance(source, InputImage) and source.frame is None:
        return os.path.dirname(os.path.abspath(source.path)) if source.path else ''
    # one that has a single frame is an image of its folder
    if isinstance(source, ImageFrames) and len(source) == 1:
        return os.path.dirname(os.path.abspath(source.path))
    return os.path.abspath(source.path or '')


def by_sequence(listed: Iterable[Source]) -> list[Source]:
    """Put the frames of each sequence together, in their order.

    The files of a folder may come with those of folders below it between them.
    """
    sequences: dict[str, list[Source]] = {}
    for source in listed:
        sequences.setdefault(sequence_key(source), []).append(source)
    return [source for sources in sequences.values() for source in sources]


def sequence_name(source: Source, options: OutputOptions) -> str:
    """Return the path of a video, or of the folder of an image, below the input, without suffix.

    Where images have names without a folder it is the sequence, see :func:`sequence_of`.
    """
    if options.sequence is not None:
        return options.sequence
    is_frames = not isinstance(source, InputImage)
    if isinstance(source, ImageFrames) and len(source) == 1:
        is_frames = False
    name = frame_name(source.name, 0) if is_frames else source.name
    parent = str(PurePosixPath(name).parent)
    return sequence_of(source) if parent == '.' else parent


def check_sequences(listed: Iterable[Source], options: OutputOptions) -> None:
    """Raise a ValueError that names two sequences if both would have the same files."""
    seen: dict[str, str] = {}
    for source in listed:
        key, name = sequence_key(source), sequence_name(source, options)
        other = seen.setdefault(name, key)
        if other != key:
            raise ValueError(
                f'{other} and {key} would both be written as tracks/{name}.csv; name the folder '
                'that both are in (--root), or give each an --out of its own'
            )
