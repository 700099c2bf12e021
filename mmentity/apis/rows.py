"""Rows of a table as images, and the files of a folder as rows: the way in of other engines."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Optional

import numpy as np

from mmentity.apis.export.file_names import check_files
from mmentity.apis.export.layout import fields_of
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.inputs import InputImage, Inputs, ListOptions, list_inputs
from mmentity.datasets.errors import SampleError
from mmentity.utils.files import printable

# columns that an image is read from; of several, the first
IMAGE_COLUMNS = ('image', 'bytes', 'path')
# fields of a layout that need no file, and tell images apart as far as their names do
NAME_FIELDS = {'name', 'format'}

Batch = Mapping[str, Sequence[Any]]


def list_rows(
    inputs: Inputs,
    outputs: OutputOptions = OutputOptions(),  # noqa: B008
    listing: ListOptions = ListOptions(),  # noqa: B008
) -> list[dict[str, str]]:
    """List the images of folders, globs and files as rows for :class:`EntityPredictor`.

    They are those that ``mmentity predict`` lists, in the same order and with the same names.

    Args:
        inputs: Path of an image or folder, a glob, or any iterable of these.
        outputs: What is going to be written.
        listing: How inputs are turned into images.

    Returns:
        For each image its ``path``, which is absolute, and its ``name``, the path below
        its input, without suffix.

    Raises:
        FileNotFoundError: If an input does not exist or holds no image.
        ValueError: If two images would be written to the same file, or one is a video, in
            memory, or has a name that is no text.

    Examples:
        >>> list_rows('frames/')
        [{'path': '/data/frames/0.jpg', 'name': '0'}, ...]
    """
    listed = list_inputs(inputs, listing)
    check_files(listed, outputs)
    return [_row(source) for source in listed]


def _row(source: object) -> dict[str, str]:
    path = getattr(source, 'path', None)
    if not isinstance(source, InputImage):
        raise ValueError(
            f'{path} has many frames, and a row is one image; write the frames to files, or share '
            'videos out by mmentity predict --shard'
        )
    if path is None:
        raise ValueError('an image in memory has no path; make rows of a column image of such')
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f'{printable(path)} has a name that is not UTF-8, which a row cannot hold; rename it'
        ) from error
    return {'path': os.path.abspath(path), 'name': source.name}


def images_of(batch: Batch, outputs: Optional[OutputOptions]) -> list[InputImage]:
    """Make the images of a batch, not loaded yet; a row that holds none fails by itself.

    Args:
        batch: Columns of the same length: ``path`` of a file, ``bytes`` of a file, or
            ``image``, uint8 RGB ``(H, W, 3)``, grey or RGBA, and the ``name`` of each.
        outputs: What is written of them; None where nothing is.

    Raises:
        ValueError: If a column is missing, or two images would be written to the same file.
    """
    kind = _image_column(batch)
    if outputs is None:
        names = batch.get('name', batch.get('path', [f'{k:06d}' for k in range(len(batch[kind]))]))
        return [_image(kind, value, str(name)) for value, name in zip(batch[kind], names)]
    if 'name' not in batch:
        raise ValueError(
            'the rows have no column name, after which files are named; list_rows gives it'
        )
    if kind != 'path':
        _check_layout(outputs, kind)
    rows = zip(batch[kind], batch['name'])
    images = [_placed(_image(kind, value, str(name))) for value, name in rows]
    check_files((image for image in images if image.error is None), outputs)
    return images


def _image_column(batch: Batch) -> str:
    if not isinstance(batch, Mapping):
        raise ValueError(
            f'a batch is a dict of columns, and not {type(batch).__name__}; leave batch_format out'
        )
    for column in IMAGE_COLUMNS:
        if column in batch:
            return column
    raise ValueError(
        f'the rows have {", ".join(batch) or "no column"}; one of {", ".join(IMAGE_COLUMNS)} is '
        'needed'
    )


def _image(kind: str, value: Any, name: str) -> InputImage:
    if kind == 'path' and isinstance(value, str) and value:
        return InputImage(name, value)
    if kind == 'bytes' and isinstance(value, bytes):
        return InputImage(name, content=value)
    if kind == 'image' and isinstance(value, np.ndarray):
        # the network's side of the package has the channels as OpenCV has them
        channels = value.shape[-1] if value.ndim == 3 else 1
        return InputImage(name, content=value[..., 2::-1] if channels in (3, 4) else value)
    found = type(value).__name__
    return InputImage(name, error=SampleError(f'column {kind} of {name} holds no image: {found}'))


def _placed(image: InputImage) -> InputImage:
    """Let an image fail whose files would not lie in the output folder."""
    path = PurePosixPath(image.name)
    if path.is_absolute() or '..' in path.parts or not path.name:
        reason = f'{image.name!r} is no name; it is a path below the output folder, without suffix'
        return replace(image, error=SampleError(reason, 'bad-name'))
    return image


def _check_layout(outputs: OutputOptions, kind: str) -> None:
    for key in (*outputs.formats, 'sidecar'):
        unknown = set(fields_of(outputs.patterns[key])) - NAME_FIELDS
        if unknown:
            fields = ', '.join(f'{{{field}}}' for field in sorted(unknown))
            raise ValueError(
                f'the layout has {fields}, which column {kind} does not tell; give rows with the '
                'path of a file instead, or a layout of {name} alone'
            )
