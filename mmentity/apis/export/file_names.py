"""Names of the files that are written for an image."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mmentity.apis.export.layout import WHOLE_RUN_FILES
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.inputs import InputImage, Source
from mmentity.apis.sources import Video, frame_name
from mmentity.datasets.errors import SampleError
from mmentity.utils.files import printable

# Folders that hold the frames of a sequence, in the layouts of ScanNet, ScanNet++,
# Matterport3D, Replica, SceneNN, TUM, Mip-NeRF 360 and the like; the folder above them names the
# sequence.
FRAME_FOLDERS = {
    'color', 'colour', 'color_640', 'rgb', 'image', 'images', 'images_2', 'images_4', 'images_8',
    'images_train', 'img', 'imgs', 'frame', 'frames', 'iphone', 'dslr',
    'undistorted_color_images', 'resized_images', 'results',
}  # fmt: skip
# what a digit follows is a part of a number, as in the time stamps of TUM
FIRST_DOT = re.compile(r'\.(?!\d)')


def sequence_of(source: Source) -> str:
    """Return the sequence of an image or video, by the video or the folders above it.

    Examples:
        >>> sequence_of(InputImage('0', 'scannet/scene0011_00/frames/color/0.jpg'))
        'scene0011_00'
    """
    return _sequence_folder(source).rpartition('/')[2]


def _sequence_folder(source: Source) -> str:
    """Return the sequence, with the folder above it where that has the same name."""
    if source.path is None:
        return 'arrays'
    if not isinstance(source, InputImage) or source.frame is not None:
        return Path(source.path).stem
    parents = [parent.name for parent in Path(os.path.abspath(source.path)).parents]
    for name, above in zip(parents, parents[1:]):
        if name.lower() not in FRAME_FOLDERS:
            return f'{name}/{name}' if above == name else name
    return 'frames'


def files_of(image: InputImage, options: OutputOptions) -> dict[str, str]:
    """Path in the output folder of each format that is asked for, and of the ``sidecar``.

    Raises:
        SampleError: If a name holds bytes that are no UTF-8.
    """
    fields = _fields(image, options)
    wanted = [*options.formats, *(('sheet', 'sheet_image') if options.sheet else ()), 'sidecar']
    files = {key: options.patterns[key].format(**fields) for key in wanted}
    try:
        files['sidecar'].encode()
    except UnicodeEncodeError as error:
        raise SampleError(
            f'{printable(image.place)} has a name that is not UTF-8, which the tables and pages '
            'that are written could not name; rename it',
            'bad-name',
        ) from error
    return files


def _fields(image: InputImage, options: OutputOptions) -> dict[str, str]:
    base = PurePosixPath(image.name).name
    is_file = image.path is not None and image.frame is None
    path = PurePosixPath(image.path) if is_file and image.path else PurePosixPath(image.name)
    if is_file:
        base = path.stem
    sequence_folder = options.sequence or _sequence_folder(image)
    parent = Path(os.path.abspath(image.path)).parent.name if is_file and image.path else ''
    return {
        'name': image.name,
        'stem': base,
        'frame': FIRST_DOT.split(base)[0] or base,
        'prefix': base.split('.')[0],
        'suffix': Path(image.path or '').suffix[1:],
        'parent': parent or sequence_folder.rpartition('/')[2],
        'sequence': options.sequence or sequence_folder.rpartition('/')[2],
        'sequence_folder': sequence_folder,
    }


def check_files(listed: Iterable[Source], options: OutputOptions) -> None:
    """Raise a ValueError that names two inputs if both would be written to the same file."""
    seen: dict[str, Source] = {}
    of_all = {file for key in options.formats for file in WHOLE_RUN_FILES.get(key, ())}
    for source in listed:
        for image in _samples(source):
            try:
                files = files_of(image, options).values()
            except SampleError:
                continue  # it fails by itself
            for file in files:
                if file in of_all:
                    raise ValueError(
                        f'{source.path or source.name} would be written as {file}, which is the '
                        'file of all images together; give a --layout with a folder, or rename it'
                    )
                other = seen.setdefault(file, source)
                if other is not source:
                    raise ValueError(_clash(other, source, file))


def _samples(source: Source) -> list[InputImage]:
    """Return an image, or what the first frame of a video or of an image file will be."""
    if isinstance(source, InputImage):
        return [source]
    first = InputImage(frame_name(source.name, 0), source.path, 0)
    return [first, *([] if isinstance(source, Video) else [InputImage(source.name, source.path)])]


def _clash(one: Source, other: Source, file: str) -> str:
    paths = [source.path or source.name for source in (one, other)]
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    apart = "give a --layout that tells them apart, such as '{name}_{suffix}'"
    if len(folders) > 1:
        apart = f'name outputs by the path below --root {os.path.commonpath(folders)}, or {apart}'
    return f'{paths[0]} and {paths[1]} would both be written as {file}; {apart}, or rename one'
