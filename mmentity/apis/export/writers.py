"""The files of one image."""

import io
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mmentity.apis.export.formats import ENCODERS
from mmentity.apis.export.numbering import NumberedResult, encode_image, number_entities
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.overlays import draw_overlay, draw_thumbnails
from mmentity.apis.naming import EntityNamer
from mmentity.apis.result import EntityResult
from mmentity.utils.files import whole_file


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Make a hidden folder in the output folder, in which files are written at first.

    Each process has one, so other shards are left alone; what a killed process
    left is removed by the next one on the same machine.
    """
    parent, host = out / '.partial', socket.gethostname()
    for other in parent.glob(f'{host}-*'):
        if not _is_alive(int(other.name.rpartition('-')[2])):
            shutil.rmtree(other, ignore_errors=True)
    path = parent / f'{host}-{os.getpid()}'
    _make_folder(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        # it is not empty while another shard is at work
        with suppress(OSError):
            parent.rmdir()


def _make_folder(path: Path) -> None:
    """Make a folder although others may remove the one that it is in, as long as it is empty."""
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            return
        except FileNotFoundError:
            continue


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class ResultWriter:
    """Write the files of one image, the sidecar last.

    So where a sidecar exists, all other files of the image do too. Each is written
    in the scratch folder before it gets its name in the output folder. With a namer
    the entities that are written get names.
    """

    def __init__(
        self,
        out: Path,
        scratch: Path,
        options: OutputOptions,
        namer: Optional[EntityNamer] = None,
    ) -> None:
        self.out, self.scratch, self.options, self.namer = out, scratch, options, namer

    def write(
        self,
        result: Union[EntityResult, NumberedResult],
        files: dict[str, str],
        source: Optional[dict[str, Any]] = None,
    ) -> int:
        """Write what was predicted to files, named by :func:`.file_names.files_of`.

        Where this fails, no file of the image stays behind.

        Args:
            result: What was predicted; it is filtered and numbered unless that is done.
            files: Path of each format below the output folder.
            source: What the image is, for the sidecar.

        Returns:
            Number of entities that were written.

        Raises:
            ValueError: If the ids do not fit their type.
            OSError: If a file cannot be written.
        """
        if isinstance(result, EntityResult):
            numbered = number_entities(result, self.options)
        else:
            numbered = result
        if self.namer is not None:
            numbered = numbered._replace(result=self.namer(numbered.result))
        content = self._encode(numbered, files)
        # the sidecar of an earlier run says that its files are complete
        (self.out / files['sidecar']).unlink(missing_ok=True)
        try:
            for key, data in content.items():
                self._save(files[key], data)
            if 'cutout' in self.options.formats:
                self._save_cutouts(files['cutout'], numbered)
            others = {key: name for key, name in files.items() if key != 'sidecar'}
            record = {**numbered.record(), 'source': source, 'files': others}
            self._save(files['sidecar'], json.dumps(record, indent=1).encode())
        except BaseException:
            self._remove(files)
            raise
        return len(numbered.ids)

    def _encode(self, numbered: NumberedResult, files: dict[str, str]) -> dict[str, bytes]:
        """Encode the files of all formats but cutouts, of which there may be many."""
        options = self.options
        encoders = {
            'idmap': lambda: numbered.png(options.id_dtype),
            'rle': lambda: json.dumps(_coco_results(numbered)).encode(),
            'npz': lambda: _encode_npz(numbered, options),
            'overlay': lambda: encode_image('.jpg', draw_overlay(numbered, options.drawn)),
        }
        content = {key: encoders[key]() for key in options.formats if key in encoders}
        for key in options.formats:
            if key in ENCODERS:
                folder = os.path.dirname(self.out / files[key])
                content[key] = ENCODERS[key](numbered, options, folder)
        if options.sheet:
            for key, img in draw_thumbnails(numbered).items():
                content[key] = encode_image('.jpg', img, quality=85)
        return content

    def _save_cutouts(self, folder: str, numbered: NumberedResult) -> None:
        # those of an earlier run may be of other entities
        shutil.rmtree(self.out / folder, ignore_errors=True)
        for name, data in numbered.cutouts(self.options):
            self._save(f'{folder}/{name}', data)

    def _save(self, name: str, data: bytes) -> None:
        with whole_file(self.out / name, self.scratch) as partial:
            partial.write_bytes(data)

    def _remove(self, files: dict[str, str]) -> None:
        for name in files.values():
            with suppress(OSError):
                (self.out / name).unlink()
        if 'cutout' in files:
            shutil.rmtree(self.out / files['cutout'], ignore_errors=True)


def _encode_npz(numbered: NumberedResult, options: OutputOptions) -> bytes:
    arrays: dict[str, Any] = {options.npz_key: numbered.id_map(np.int32)}
    if options.npz_tables:
        arrays.update(numbered.tables())
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _coco_results(numbered: NumberedResult) -> list[dict[str, Any]]:
    """COCO's result format: boxes are xywh, masks compressed RLE, numbers as names image ids."""
    name = numbered.result.name
    results = []
    for record, rle in zip(numbered.record()['entities'], numbered.result.rles()):
        x0, y0, x1, y1 = record['box_xyxy']
        results.append(
            {
                # COCO names its images by their ids
                'image_id': int(name) if name.isdecimal() else name,
                'category_id': record['label'] + 1,
                'id': record['id'],
                'segmentation': rle,
                'score': record['score'],
                'bbox': [x0, y0, x1 - x0, y1 - y0],
                'area': record['area'],
            }
        )
    return results
