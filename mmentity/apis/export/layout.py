"""Where the files of a picture go."""

import contextlib
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mmentity.apis.export.options import OutputOptions
from mmentity.apis.inputs import Picture

# Folders that hold the frames of a sequence, in the layouts of ScanNet, ScanNet++,
# Matterport3D, SceneNN and the like; the folder above them names the sequence.
FRAME_FOLDERS = {
    'color', 'colour', 'color_640', 'rgb', 'image', 'images', 'img', 'imgs', 'frame', 'frames',
    'iphone', 'dslr', 'undistorted_color_images', 'resized_images',
}  # fmt: skip


def sequence_of(picture: Picture) -> str:
    """Read the name of a sequence off the folders above a picture.

    Examples:
        >>> sequence_of(Picture('0', 'scannet/scene0011_00/frames/color/0.jpg'))
        'scene0011_00'
    """
    if picture.frame is not None:
        return Path(picture.path).stem
    if picture.path is None:
        return 'arrays'
    parents = Path(os.path.abspath(picture.path)).parents
    for parent in parents:
        if parent.name and parent.name.lower() not in FRAME_FOLDERS:
            return parent.name
    return 'frames'


def files_of(picture: Picture, options: OutputOptions) -> dict:
    """Name the files of a picture, relative to the output folder.

    Returns:
        Path by format, for the formats that the options ask for, and ``sidecar``.
    """
    base = PurePosixPath(picture.name).name
    if picture.path is not None and picture.frame is None:
        base = Path(picture.path).stem
    fields = {
        'name': picture.name,
        'sequence': options.sequence or sequence_of(picture),
        'frame': base.split('.')[0] or base,
        'stem': base,
    }
    wanted = [*options.formats, *(('sheet', 'sheet_picture') if options.sheet else ()), 'sidecar']
    return {key: options.layout[key].format(**fields) for key in wanted}


def check_targets(listed: Sequence, options: OutputOptions) -> None:
    """Check that no two pictures are written to the same file.

    Raises:
        ValueError: If two are; the sentence names them.
    """
    seen = {}
    for picture in listed:
        if not isinstance(picture, Picture):
            continue
        target = files_of(picture, options)['sidecar']
        other = seen.setdefault(target, picture)
        if other is not picture:
            raise ValueError(
                f'{other.path} and {picture.path} would both be written as {target}; rename one, '
                'or give each an --out of its own'
            )


class Scratch:
    """Folder in which files are written before they get their names.

    It is hidden in the output folder and has a name of its own for each process,
    so that other shards are left alone; what a killed process left is removed by
    the next one on the same machine.

    Args:
        out: Output folder.
    """

    def __init__(self, out: Path) -> None:
        self.folder = Path(out) / '.partial'
        self.host = socket.gethostname()
        self.own = self.folder / f'{self.host}-{os.getpid()}'

    def __enter__(self) -> Path:
        """Make the folder and return it."""
        for other in self.folder.glob(f'{self.host}-*'):
            if not _is_alive(int(other.name.rpartition('-')[2])):
                shutil.rmtree(other, ignore_errors=True)
        self.own.mkdir(parents=True, exist_ok=True)
        return self.own

    def __exit__(self, *exception) -> None:
        """Remove the folder."""
        shutil.rmtree(self.own, ignore_errors=True)
        # it is not empty while another shard is at work
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
