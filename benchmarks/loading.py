"""One training sample through CropFormer's pipeline, against one that handles mask by mask.

python benchmarks/loading.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measuring import measure, run
from PIL import Image
from pycocotools import mask as mask_utils
from scenes import entity_ids, photograph

from mmentity.datasets.transforms import (
    CropViews,
    FlipEntities,
    LoadEntityAnnotations,
    LoadEntityImage,
    PackEntityInputs,
    ResizeViews,
)
from mmentity.structures import EntityMap

SIZE, ENTITIES, SHORT_SIDE = (2000, 2667), 30, 736


def record_of(folder: str, case: dict) -> dict:
    """An image on disk and its annotations, as the data set gives them."""
    size, entities = case.get('size', SIZE), case.get('entities', ENTITIES)
    path = str(Path(folder) / 'image.jpg')
    Image.fromarray(photograph(*size)).save(path, quality=92)
    rles = EntityMap(entity_ids(*size, entities), entities).rles()
    instances = [
        {'mask': rle, 'bbox_label': 0, 'ignore_flag': 0, 'area': int(mask_utils.area(rle))}
        for rle in rles
    ]
    return {'img_path': path, 'img_id': 1, 'instances': instances}


def transforms_after_the_image() -> list:
    """The rest of the training pipeline, with a short side in the middle of its range."""
    return [
        LoadEntityAnnotations(),
        FlipEntities(prob=1.0),
        CropViews(num_crops=1),
        ResizeViews(SHORT_SIDE, 1333),
        PackEntityInputs(),
    ]


def through_maps(results: dict) -> tuple:
    """Views, and the maps that the targets are made of on the way to the device."""
    np.random.seed(0)
    for transform in transforms_after_the_image():
        results = transform(results)
    return results['inputs'], results['data_samples'].gt_view_maps


def through_masks(results: dict) -> tuple:
    """Views and masks ``(K, h, w)``: every mask is decoded, cut and resized by itself."""
    np.random.seed(0)
    results = FlipEntities(prob=1.0)({**results, 'img': results['img']})
    results = CropViews(num_crops=1)(results)
    masks = [mask_utils.decode(record['mask'])[:, ::-1] for record in results['instances']]
    boxes = results['view_boxes'].tolist()
    results = ResizeViews(SHORT_SIDE, 1333)(results)
    targets = []
    for (x0, y0, x1, y1), (height, width) in zip(boxes, results['view_shapes']):
        resized = [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(mask[y0:y1, x0:x1])).resize(
                    (width, height), Image.NEAREST
                )
            )
            for mask in masks
        ]
        targets.append(torch.from_numpy(np.stack(resized).astype(bool)))
    return PackEntityInputs()(results)['inputs'], targets


def parts(record: dict) -> dict:
    """Seconds of each transform of the pipeline."""
    np.random.seed(0)
    results, seconds = dict(record), {}
    for transform in (LoadEntityImage(), *transforms_after_the_image()):
        start = time.perf_counter()
        results = transform(results)
        seconds[type(transform).__name__] = round(time.perf_counter() - start, 4)
    return seconds


def measure_case(case: dict) -> dict:
    """Measure one pipeline with or without the JPEG, or compare their targets."""
    function = through_masks if case['pipeline'] == 'masks' else through_maps
    with tempfile.TemporaryDirectory() as folder:
        record = record_of(folder, case)
        loaded = LoadEntityImage()(dict(record))
        if case['pipeline'] == 'difference':
            views, maps = through_maps(dict(loaded))
            expected_views, masks = through_masks(dict(loaded))
            same = [
                torch.equal(ids[0] == k + 1, mask)
                for ids, of_view in zip(maps, masks)
                for k, mask in enumerate(of_view)
            ]
            return {'same_views': torch.equal(views, expected_views), 'same_masks': all(same)}
        if case['pipeline'] == 'parts':
            parts(record)
            return {'seconds_of': parts(record)}
        if case['jpeg']:
            return measure(lambda: function(LoadEntityImage()(dict(record))))
        return measure(lambda: function(dict(loaded)))


CASES = [
    {'pipeline': 'difference'},
    *(
        {'pipeline': pipeline, 'jpeg': jpeg}
        for jpeg in (False, True)
        for pipeline in ('maps', 'masks')
    ),
    {'pipeline': 'parts'},
    *(
        {'pipeline': pipeline, 'jpeg': False, 'size': size}
        for size in ((1000, 1333), (3000, 4000), (4000, 5333))
        for pipeline in ('maps', 'masks')
    ),
    *(
        {'pipeline': pipeline, 'jpeg': False, 'entities': entities}
        for entities in (10, 100)
        for pipeline in ('maps', 'masks')
    ),
]

if __name__ == '__main__':
    run(__file__, CASES, measure_case, 'loading')
