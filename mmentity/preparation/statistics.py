"""Statistics of a dataset: entities, areas, sizes, classes."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.dataset import BaseDataset
from numpy.typing import ArrayLike
from PIL import Image

from mmentity.datasets.categories import IGNORED, entity_categories
from mmentity.datasets.entityseg import EntitySegDataset
from mmentity.datasets.errors import SampleError
from mmentity.datasets.folder import load_id_map
from mmentity.datasets.rules import check_instance, decoding, instance_runs, semantic_values
from mmentity.preparation.statistics_plots import LARGE, SMALL, draw_statistics
from mmentity.structures.id_map import entity_ids
from mmentity.utils.files import write_json
from mmentity.utils.progress import show_progress


class ImageStatistics(NamedTuple):
    """What one image holds; sizes in px, areas in px of each entity."""

    height: int
    width: int
    areas: list[float]
    # label of each entity, or its category id where there is one class
    classes: list[int]
    # why annotations cannot be read, a message each
    faults: tuple[str, ...] = ()


@dataclass
class Statistics:
    """What a data set of some class holds, and the name of each label that occurs."""

    name: str
    images: list[ImageStatistics]
    class_names: dict[int, str]

    @property
    def faults(self) -> list[str]:
        """Messages on the annotations that cannot be read."""
        return [fault for image in self.images for fault in image.faults]

    @property
    def readable(self) -> list[ImageStatistics]:
        """The images whose annotations can all be read."""
        return [image for image in self.images if not image.faults]

    @property
    def areas(self) -> np.ndarray:
        """Area of each entity in px, float ``(K,)``."""
        return np.array([area for image in self.readable for area in image.areas], dtype=float)

    @property
    def sizes(self) -> np.ndarray:
        """Height and width of each image in px, int ``(N, 2)``."""
        return np.array([(i.height, i.width) for i in self.readable], dtype=int).reshape(-1, 2)

    def summary(self) -> dict[str, Any]:
        """Summarise everything in numbers, fit for json."""
        readable = self.readable
        areas, sizes = self.areas, self.sizes
        counts = np.array([len(image.areas) for image in readable])
        covered = [sum(image.areas) / (image.height * image.width) for image in readable]
        classes = Counter(label for image in readable for label in image.classes)
        size_classes = np.bincount(np.digitize(areas, (SMALL, LARGE)), minlength=3)
        return {
            'dataset': self.name,
            'images': len(readable),
            'unreadable images': len(self.images) - len(readable),
            'entities': int(counts.sum()),
            'images without entities': int((counts == 0).sum()),
            'entities per image': _quantiles(counts),
            'entity area, px': _quantiles(areas),
            'small, medium, large entities': size_classes.tolist(),
            'sum of areas over area of image': _quantiles(covered),
            'short side, px': _quantiles(sizes.min(axis=1)),
            'long side, px': _quantiles(sizes.max(axis=1)),
            'classes': [
                {'id': label, 'name': self.class_names.get(label, str(label)), 'entities': count}
                for label, count in classes.most_common()
            ],
        }

    def write(self, folder: Path) -> list[Path]:
        """Write ``stats.json`` and ``stats.png`` and return their paths."""
        summary = self.summary()
        paths = [Path(folder) / 'stats.json', Path(folder) / 'stats.png']
        write_json(paths[0], summary, indent=1)
        title = f'{self.name}: {summary["entities"]} entities in {summary["images"]} images'
        counts = [len(image.areas) for image in self.readable]
        draw_statistics(title, counts, self.areas, self.sizes, summary['classes'], paths[1])
        return paths


def collect_statistics(dataset: BaseDataset) -> Statistics:
    """Go through the annotations of a data set, of any class, without its images.

    Args:
        dataset: Dataset of entities, instances, panoptic segments, semantic
            maps or id maps; one of mmdet's with instances works too.

    Examples:
        >>> collect_statistics(dataset).summary()['entities']
        209
    """
    one_class = len(dataset.metainfo.get('classes', ())) < 2

    def read(index: int) -> ImageStatistics:
        info = dataset.get_data_info(index)
        try:
            return _read(info, one_class)
        except ValueError as error:
            return ImageStatistics(0, 0, [], [], (f'{info["img_path"]}: {error}',))

    with ThreadPoolExecutor() as pool:
        results = pool.map(read, range(len(dataset)))
        images = list(show_progress(results, len(dataset), 'annotations'))
    return Statistics(type(dataset).__name__, images, _class_names(dataset, one_class))


def _class_names(dataset: BaseDataset, one_class: bool) -> dict[int, str]:
    if not one_class:
        return dict(enumerate(dataset.metainfo['classes']))
    if isinstance(dataset, EntitySegDataset):
        return {category['id']: category['name'] for category in entity_categories()}
    return {0: 'entity'}


def _read(info: dict[str, Any], one_class: bool) -> ImageStatistics:
    if 'id_map_path' in info or 'num_classes' in info:
        return _read_map(info)
    faults: list[str] = []
    if 'segments_info' in info:
        rows, key = info['segments_info'], 'category'
        areas = [row['area'] for row in rows]
    else:
        rows, key = info['instances'], 'bbox_label'
        areas = [_area(row, info, faults) for row in rows]
    key = 'category_id' if one_class and all('category_id' in row for row in rows) else key
    classes = [row[key] for row in rows]
    return ImageStatistics(info['height'], info['width'], areas, classes, tuple(faults))


def _area(row: dict[str, Any], info: dict[str, Any], faults: list[str]) -> float:
    """Area as annotated, or counted; the form of the mask is checked in any case."""
    size = info['height'], info['width']
    try:
        if 'area' not in row:
            return int(instance_runs(row, size).lengths.sum())
        check_instance(row, size)
    except SampleError as error:
        faults.append(f'{info["img_path"]}: {error}')
    return row.get('area', 0)


def _read_map(info: dict[str, Any]) -> ImageStatistics:
    """Count the pixels of each value: an entity in an id map, a class in a semantic map."""
    if 'id_map_path' in info:
        values = load_id_map(info)
        wanted = entity_ids(values, info['no_entity_ids'])
    else:
        path = info['seg_map_path']
        with decoding('bad-map', f'{path} cannot be read'), Image.open(path) as image:
            values = semantic_values(path, image)
        wanted = np.setdiff1d(values, [IGNORED])
    found, pixels = np.unique(values, return_counts=True)
    areas = pixels[np.isin(found, wanted)].tolist()
    classes = [0] * len(areas) if 'id_map_path' in info else wanted.tolist()
    height, width = values.shape
    return ImageStatistics(height, width, areas, classes)


def _quantiles(values: ArrayLike) -> Optional[dict[str, float]]:
    values = np.asarray(values)
    if values.size == 0:
        return None
    names = ('min', '5 %', 'median', '95 %', 'max')
    quantiles = np.quantile(values, (0, 0.05, 0.5, 0.95, 1))
    return {'mean': float(np.mean(values)), **dict(zip(names, map(float, quantiles)))}
