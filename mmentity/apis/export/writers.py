"""The files of one picture."""

import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from mmentity.apis.export.numbering import Numbered, map_dtype, number_entities
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.overlays import draw_overlay, draw_thumbnails
from mmentity.apis.result import EntityResult
from mmentity.utils.files import whole_file


class PictureWriter:
    """Write the files of one picture, the sidecar last.

    So a sidecar that is there means that everything else is there too.

    Args:
        out: Output folder.
        scratch: Where files are written before they get their names.
        options: What to write.
    """

    def __init__(self, out: Path, scratch: Path, options: OutputOptions) -> None:
        self.out = Path(out)
        self.scratch = Path(scratch)
        self.options = options

    def write(self, result: EntityResult, files: dict) -> None:
        """Write everything.

        Args:
            result: All that the model predicted.
            files: Path by format, see :func:`mmentity.apis.export.layout.files_of`.

        Raises:
            ValueError: If the ids do not fit their type.
            OSError: If a file cannot be written.
        """
        numbered = number_entities(result, self.options)
        content = {
            key: getattr(self, f'_{key}')(numbered)
            for key in self.options.formats
            if key != 'cutout'
        }
        if self.options.sheet:
            content['sheet'], content['sheet_picture'] = draw_thumbnails(numbered)
        # a sidecar of an earlier run would vouch for files that are being replaced
        (self.out / files['sidecar']).unlink(missing_ok=True)
        for key, data in content.items():
            self._save(files[key], data)
        if 'cutout' in self.options.formats:
            self._save_cutouts(files['cutout'], numbered)
        self._save(files['sidecar'], self._sidecar(numbered, files))

    def _save(self, name: str, data: bytes) -> None:
        with whole_file(self.out / name, self.scratch) as partial:
            partial.write_bytes(data)

    def _idmap(self, numbered: Numbered) -> bytes:
        return encode('.png', numbered.id_map(map_dtype(numbered, self.options.id_dtype)))

    def _npz(self, numbered: Numbered) -> bytes:
        arrays = {self.options.npz_key: numbered.id_map(np.int32)}
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

    def _rle(self, numbered: Numbered) -> bytes:
        """COCO's result format: boxes are xywh, masks compressed RLE."""
        records = []
        for record, rle in zip(_records(numbered), numbered.result.rles()):
            x0, y0, x1, y1 = record['bbox']
            records.append(
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
        return json.dumps(records).encode()

    def _overlay(self, numbered: Numbered) -> bytes:
        return encode('.jpg', draw_overlay(numbered, self.options.drawn)[..., ::-1])

    def _save_cutouts(self, folder: str, numbered: Numbered) -> None:
        # those of an earlier run may be of other entities
        shutil.rmtree(self.out / folder, ignore_errors=True)
        for number, cutout in zip(numbered.ids, numbered.result.cutouts()):
            # in place: a cut-out may be as large as the picture
            red = cutout[..., 0].copy()
            cutout[..., 0] = cutout[..., 2]
            cutout[..., 2] = red
            self._save(f'{folder}/{number}.png', encode('.png', cutout))

    def _sidecar(self, numbered: Numbered, files: dict) -> bytes:
        result = numbered.result
        record = {
            'name': result.name,
            'picture': result.path,
            'frame': result.frame,
            'width': result.width,
            'height': result.height,
            'entities': _records(numbered),
            'files': {key: name for key, name in files.items() if key != 'sidecar'},
        }
        return json.dumps(record, indent=1).encode()


def encode(suffix: str, img: np.ndarray) -> bytes:
    """Encode a picture, as OpenCV has it."""
    return cv2.imencode(suffix, np.ascontiguousarray(img))[1].tobytes()


def _records(numbered: Numbered) -> list:
    return [
        {**record, 'id': int(number)}
        for record, number in zip(numbered.result.records(), numbered.ids)
    ]
