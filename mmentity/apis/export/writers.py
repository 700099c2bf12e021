"""The files of one image."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from mmentity.apis.export.contact_sheet import Card, card_of
from mmentity.apis.export.encoding import encode_image
from mmentity.apis.export.numbering import NumberedResult, choose_dtype, number_entities
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.overlays import draw_overlay, draw_thumbnails
from mmentity.apis.result import EntityResult
from mmentity.utils.files import whole_file


class ResultWriter:
    """Write the files of one image, the sidecar last.

    So where a sidecar exists, all other files of the image do too.

    Args:
        out: Output folder.
        scratch: Where files are written before they get their names.
        options: What to write.
    """

    def __init__(self, out: Path, scratch: Path, options: OutputOptions) -> None:
        self.out = Path(out)
        self.scratch = Path(scratch)
        self.options = options

    def write(self, result: EntityResult, files: dict[str, str]) -> Card:
        """Write everything.

        Args:
            result: All that the model predicted.
            files: Path by format, see :func:`mmentity.apis.export.file_names.files_of`.

        Returns:
            What a contact sheet shows of it.

        Raises:
            ValueError: If the ids do not fit their type.
            OSError: If a file cannot be written.
        """
        numbered = number_entities(result, self.options)
        encoders = {
            'idmap': self._idmap,
            'rle': self._rle,
            'npz': self._npz,
            'overlay': self._overlay,
        }
        content = {key: encoders[key](numbered) for key in self.options.formats if key in encoders}
        if self.options.sheet:
            for key, img in draw_thumbnails(numbered).items():
                content[key] = encode_image('.jpg', img, quality=85)
        # the sidecar of an earlier run says that its files are complete
        (self.out / files['sidecar']).unlink(missing_ok=True)
        for key, data in content.items():
            self._save(files[key], data)
        if 'cutout' in self.options.formats:
            self._save_cutouts(files['cutout'], numbered)
        record = {
            'name': result.name,
            'image': result.path,
            'frame': result.frame,
            'width': numbered.result.width,
            'height': numbered.result.height,
            'entities': numbered.records(),
            'files': {key: name for key, name in files.items() if key != 'sidecar'},
        }
        self._save(files['sidecar'], json.dumps(record, indent=1).encode())
        return card_of(record)

    def _save(self, name: str, data: bytes) -> None:
        with whole_file(self.out / name, self.scratch) as partial:
            partial.write_bytes(data)

    def _idmap(self, numbered: NumberedResult) -> bytes:
        dtype = choose_dtype(numbered, self.options.id_dtype)
        return encode_image('.png', numbered.id_map(dtype))

    def _npz(self, numbered: NumberedResult) -> bytes:
        arrays: dict[str, Any] = {self.options.npz_key: numbered.id_map(np.int32)}
        if self.options.npz_tables:
            result = numbered.result
            arrays.update(
                ids=numbered.ids,
                scores=result.scores,
                labels=result.labels,
                boxes=result.boxes_xyxy_px,
                areas=result.areas,
            )
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        return stream.getvalue()

    def _rle(self, numbered: NumberedResult) -> bytes:
        """COCO's result format: boxes are xywh, masks compressed RLE."""
        annotations = []
        for record, rle in zip(numbered.records(), numbered.result.rles()):
            x0, y0, x1, y1 = record['bbox']
            annotations.append(
                {
                    'image_id': numbered.result.name,
                    'category_id': record['label'] + 1,
                    'id': record['id'],
                    'segmentation': rle,
                    'score': record['score'],
                    'bbox': [x0, y0, x1 - x0, y1 - y0],
                    'area': record['area'],
                }
            )
        return json.dumps(annotations).encode()

    def _overlay(self, numbered: NumberedResult) -> bytes:
        return encode_image('.jpg', draw_overlay(numbered, self.options.drawn))

    def _save_cutouts(self, folder: str, numbered: NumberedResult) -> None:
        # those of an earlier run may be of other entities
        shutil.rmtree(self.out / folder, ignore_errors=True)
        for number, cutout in zip(numbered.ids, numbered.result.cutouts()):
            self._save(f'{folder}/{number}.png', encode_image('.png', cutout))
