"""Files of earlier runs in the output folder: whose they are, and whether they are complete."""

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import orjson

from mmentity.apis.export.file_names import files_of
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.inputs import InputImage, Source
from mmentity.apis.sources import FileStamp
from mmentity.datasets.errors import SampleError
from mmentity.utils.files import printable


def stamp_of(image: InputImage) -> Optional[FileStamp]:
    """Return the state of the file of an image, None where there is none."""
    if image.path is None:
        return None
    try:
        state = os.stat(image.path)
    except OSError:
        return None  # the error comes when it is read
    return FileStamp(state.st_size, state.st_mtime_ns)


def source_of(image: InputImage) -> Optional[dict[str, Any]]:
    """Describe what an image is read from, for its sidecar; None for one in memory."""
    if image.path is None:
        return None
    stamp = image.stamp or stamp_of(image) or FileStamp(0, 0)
    path = printable(os.path.abspath(image.path))
    return {'path': path, 'frame': image.frame, **stamp._asdict()}


class ExistingFiles:
    """What an output folder holds already.

    Args:
        out: Output folder.
        options: What is written of each image.
        keep: Whether complete files are kept, instead of being written anew.

    Attributes:
        done: Sidecars of the images whose files are kept, as far as :meth:`check` saw them.
    """

    def __init__(self, out: Path, options: OutputOptions, keep: bool) -> None:
        self.out, self.options, self.keep = out, options, keep
        self.done: set[str] = set()

    def check(self, listed: Iterable[Source]) -> None:
        """Look for the files of all images, before the work; those of videos come later.

        Raises:
            ValueError: If files are of another image, or cannot be compared.
        """
        for image in listed:
            if not isinstance(image, InputImage):
                continue
            try:
                files = files_of(image, self.options)
            except SampleError:
                continue  # it fails by itself
            if self.has(image):
                self.done.add(files['sidecar'])

    def to_do(self, image: InputImage) -> Optional[InputImage]:
        """Return an image with the state of its file, or why it cannot be done; None if it is."""
        try:
            done = self.has(image)
        except SampleError as error:
            return replace(image, error=error)
        return None if done else replace(image, stamp=stamp_of(image))

    def has(self, image: InputImage) -> bool:
        """Whether the files of an image are complete and to be kept.

        Raises:
            SampleError: If they are those of another image.
            ValueError: If they are to be kept, and the image is in memory.
        """
        files = files_of(image, self.options)
        if files['sidecar'] in self.done:
            return True
        if image.error is not None:
            return False  # it fails by itself
        if self.keep and image.path is None:
            raise ValueError(
                'images in memory cannot be told apart by a file, so that skip_existing could '
                'keep the results of others; write them to files, or leave it out'
            )
        record = self.record_of(image)
        source = record.get('source')
        if source is None or image.path is None:
            return False
        self._compare(image, source, files)
        if not self.keep:
            return False
        # without an entity there is no folder of cutouts, but the sidecar lists the format
        exist = (self.out / name for key, name in files.items() if key != 'cutout')
        return 'cutout' not in set(files) - set(record['files']) and all(p.exists() for p in exist)

    def record_of(self, image: InputImage) -> dict[str, Any]:
        """Read the sidecar of an image, empty where there is none."""
        file = self.out / files_of(image, self.options)['sidecar']
        try:
            record = orjson.loads(file.read_bytes())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _compare(self, image: InputImage, source: dict[str, Any], files: dict[str, str]) -> None:
        """Compare the source of existing files with an image of the same names."""
        now = source_of(image) or {}
        file = self.out / files['sidecar']
        if not _same_file(source['path'], now['path']):
            raise SampleError(
                f'{file} and what belongs to it are of {source["path"]}, and would become those '
                f'of {now["path"]}; choose another --out, name the folder that both are in '
                '(--root), or give a --layout that tells them apart',
                'other-source',
            )
        if self.keep and any(source[key] != now[key] for key in ('bytes', 'modified_ns')):
            raise SampleError(
                f'{file} is of {_version(source)}, which has become {_version(now)}; drop '
                '--skip-existing to predict it anew, or remove that file',
                'changed-source',
            )


def _same_file(one: str, other: str) -> bool:
    try:
        return one == other or os.path.samefile(one, other)
    except OSError:
        return False


def _version(source: dict[str, Any]) -> str:
    seconds = source['modified_ns'] / 1e9
    written = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))
    return f'{source["path"]} of {written}, {source["bytes"]:,} bytes'
