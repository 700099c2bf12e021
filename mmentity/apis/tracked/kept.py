"""What an earlier run has written of a frame, as a result."""

import json
from pathlib import Path
from typing import Optional

import cv2
import numpy as np
from PIL import Image

from mmentity.apis.export.file_names import files_of
from mmentity.apis.export.numbering import NumberedResult
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.inputs import InputImage
from mmentity.apis.lazy_map import LazyEntityMap
from mmentity.apis.result import EntityResult
from mmentity.structures import EntityMap


def read_kept(
    out: Path, image: InputImage, options: OutputOptions, rgb: Optional[np.ndarray] = None
) -> NumberedResult:
    """Read the id map and the table of a frame.

    Args:
        out: Output folder.
        image: The frame.
        options: What was written.
        rgb: The frame itself, uint8 RGB ``(H, W, 3)``; it is resized to the size of the map.

    Raises:
        ValueError: If map and table do not belong together.
    """
    files = files_of(image, options)
    record = json.loads((out / files['sidecar']).read_bytes())
    ids = cv2.imread(str(out / files['idmap']), cv2.IMREAD_UNCHANGED)
    size = (record['height'], record['width'])
    rows = record['entities']
    numbers = np.array([row['id'] for row in rows], dtype=np.int32)
    if ids is None or ids.shape != size or not np.isin(ids, [0, *numbers]).all():
        raise ValueError(
            f'{out / files["idmap"]} and {out / files["sidecar"]} do not belong together; remove '
            'one of them, and the frame is predicted again'
        )
    entities = EntityMap.from_segment_ids(ids, numbers)
    if rgb is not None and rgb.shape[:2] != size:
        resized = Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BILINEAR)
        rgb = np.asarray(resized)
    result = EntityResult(
        image.name,
        LazyEntityMap(entities),
        np.array([row['score'] for row in rows], dtype=np.float32),
        np.array([row['label'] for row in rows], dtype=np.int64),
        np.array([row['box_xyxy'] for row in rows], dtype=np.int64).reshape(-1, 4),
        np.array([row['area'] for row in rows], dtype=np.int64),
        image.path,
        image.frame,
        rgb,
    )
    return NumberedResult(result, numbers)
