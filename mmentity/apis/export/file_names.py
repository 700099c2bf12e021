"""Names of the files that are written for an image."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mmentity.apis.export.options import OutputOptions
from mmentity.apis.inputs import InputImage, Source, Video

# Folders that hold the frames of a sequence, in the layouts of ScanNet, ScanNet++,
# Matterport3D, SceneNN and the like; the folder above them names the sequence.
FRAME_FOLDERS = {
    'color', 'colour', 'color_640', 'rgb', 'image', 'images', 'img', 'imgs', 'frame', 'frames',
    'iphone', 'dslr', 'undistorted_color_images', 'resized_images',
}  # fmt: skip


def sequence_of(source: Source) -> str:
    """Return the sequence of an image or video, by the video or the folders above it.

    Examples:
        >>> sequence_of(InputImage('0', 'scannet/scene0011_00/frames/color/0.jpg'))
        'scene0011_00'
    """
    if source.path is None:
        return 'arrays'
    if isinstance(source, Video) or source.frame is not None:
        return Path(source.path).stem
    for parent in Path(os.path.abspath(source.path)).parents:
        if parent.name and parent.name.lower() not in FRAME_FOLDERS:
            return parent.name
    return 'frames'


def files_of(image: InputImage, options: OutputOptions) -> dict[str, str]:
    """Path in the output folder of each format that is asked for, and of the ``sidecar``."""
    base = PurePosixPath(image.name).name
    if image.path is not None and image.frame is None:
        base = Path(image.path).stem
    fields = {
        'name': image.name,
        'sequence': options.sequence or sequence_of(image),
        'frame': base.split('.')[0] or base,
        'stem': base,
    }
    wanted = [*options.formats, *(('sheet', 'sheet_image') if options.sheet else ()), 'sidecar']
    return {key: options.layout[key].format(**fields) for key in wanted}


def check_files(listed: Iterable[Source], options: OutputOptions) -> None:
    """Raise a ValueError that names two images if both would be written to the same file."""
    seen: dict[str, InputImage] = {}
    for image in listed:
        if not isinstance(image, InputImage):
            continue
        file = files_of(image, options)['sidecar']
        other = seen.setdefault(file, image)
        if other is not image:
            raise ValueError(
                f'{other.path} and {image.path} would both be written as {file}; rename one, '
                'or give each a separate --out'
            )
