"""Statistics of a data set: entities, areas, sizes, classes."""

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from mmengine.dataset import BaseDataset
from PIL import Image

from mmentity.datasets.categories import IGNORED, entity_categories
from mmentity.datasets.entityseg import EntitySegDataset
from mmentity.datasets.errors import SampleError
from mmentity.datasets.folder import load_id_map
from mmentity.datasets.id_maps import entity_ids
from mmentity.preparation.parallel import with_progress
from mmentity.structures.rle import runs_of
from mmentity.utils.files import whole_file

# COCO's borders between small, medium and large, px
SMALL, LARGE = 32**2, 96**2


class PictureStatistics(NamedTuple):
    """What one picture holds.

    Attributes:
        height: Height in px.
        width: Width in px.
        areas: Area of each entity in px.
        classes: Label of each, or its category id where there is one class.
        fault: Why the annotation cannot be read, or ''.
    """

    height: int
    width: int
    areas: list
    classes: list
    fault: str = ''


@dataclass
class Statistics:
    """What a data set holds.

    Attributes:
        name: Class of the data set.
        pictures: One :class:`PictureStatistics` for each picture.
        class_names: Name of each class that occurs.
    """

    name: str
    pictures: list
    class_names: dict

    @property
    def faults(self) -> list:
        """Sentences of the pictures whose annotation cannot be read."""
        return [picture.fault for picture in self.pictures if picture.fault]

    def summary(self) -> dict:
        """Everything as numbers for json."""
        sound = [picture for picture in self.pictures if not picture.fault]
        areas = np.array([area for picture in sound for area in picture.areas], dtype=float)
        counts = np.array([len(picture.areas) for picture in sound])
        sizes = np.array([(p.height * p.width, *sorted((p.height, p.width))) for p in sound])
        covered = [sum(p.areas) / (p.height * p.width) for p in sound]
        classes = Counter(label for picture in sound for label in picture.classes)
        return {
            'dataset': self.name,
            'pictures': len(sound),
            'unreadable pictures': len(self.faults),
            'entities': int(counts.sum()),
            'pictures without entities': int((counts == 0).sum()),
            'entities per picture': _quantiles(counts),
            'entity area, px': _quantiles(areas),
            'small, medium, large entities': [
                int((areas < SMALL).sum()),
                int(((areas >= SMALL) & (areas < LARGE)).sum()),
                int((areas >= LARGE).sum()),
            ],
            'sum of areas over area of picture': _quantiles(covered),
            'short side, px': _quantiles(sizes[:, 1] if len(sizes) else []),
            'long side, px': _quantiles(sizes[:, 2] if len(sizes) else []),
            'classes': [
                {'id': label, 'name': self.class_names.get(label, str(label)), 'entities': count}
                for label, count in classes.most_common()
            ],
        }

    def write(self, folder: Path) -> list:
        """Write ``stats.json`` and ``stats.png`` and return their paths."""
        summary = self.summary()
        paths = [Path(folder) / 'stats.json', Path(folder) / 'stats.png']
        with whole_file(paths[0]) as partial:
            partial.write_text(json.dumps(summary, indent=1))
        draw_statistics(self, summary, paths[1])
        return paths


def collect_statistics(dataset: BaseDataset) -> Statistics:
    """Go through the annotations of a data set, of any class, without its pictures.

    Args:
        dataset: Dataset of entities, instances, panoptic segments, semantic
            maps or id maps; one of mmdet's with instances works too.

    Examples:
        >>> collect_statistics(dataset).summary()['entities']
        209
    """
    one_class = len(dataset.metainfo.get('classes', ())) < 2

    def read(index: int) -> PictureStatistics:
        info = dataset.get_data_info(index)
        try:
            return _read(info, one_class)
        except (SampleError, OSError, ValueError, SyntaxError) as error:
            return PictureStatistics(0, 0, [], [], f'{info["img_path"]}: {error}')

    with ThreadPoolExecutor() as pool:
        results = pool.map(read, range(len(dataset)))
        pictures = list(with_progress(results, len(dataset), 'annotations'))
    return Statistics(type(dataset).__name__, pictures, _class_names(dataset, one_class))


def _class_names(dataset: BaseDataset, one_class: bool) -> dict:
    if not one_class:
        return dict(enumerate(dataset.metainfo['classes']))
    if isinstance(dataset, EntitySegDataset):
        return {category['id']: category['name'] for category in entity_categories()}
    return {0: 'entity'}


def _read(info: dict, one_class: bool) -> PictureStatistics:
    if 'id_map_path' in info:
        values = load_id_map(info)
        ids, areas = np.unique(values, return_counts=True)
        keep = np.isin(ids, entity_ids(values, info['no_entity_ids']))
        return PictureStatistics(*values.shape, areas[keep].tolist(), [0] * int(keep.sum()))
    if 'segments_info' in info:
        rows, key = info['segments_info'], 'category'
        areas = [row['area'] for row in rows]
    elif 'instances' in info:
        rows, key = info['instances'], 'bbox_label'
        areas = [_area(row, info) for row in rows]
    else:
        return _read_semantic(info)
    key = 'category_id' if one_class and all('category_id' in row for row in rows) else key
    return PictureStatistics(info['height'], info['width'], areas, [row[key] for row in rows])


def _area(row: dict, info: dict) -> float:
    if 'area' in row:
        return row['area']
    return int(runs_of(row['mask'], info['height'], info['width']).lengths.sum())


def _read_semantic(info: dict) -> PictureStatistics:
    with Image.open(info['seg_map_path']) as picture:
        values = np.asarray(picture)
    classes, areas = np.unique(values, return_counts=True)
    keep = classes != IGNORED
    return PictureStatistics(*values.shape, areas[keep].tolist(), classes[keep].tolist())


def _quantiles(values: Sequence) -> Optional[dict]:
    if len(values) == 0:
        return None
    names = ('min', '5 %', 'median', '95 %', 'max')
    quantiles = np.quantile(values, (0, 0.05, 0.5, 0.95, 1))
    return {'mean': float(np.mean(values)), **dict(zip(names, map(float, quantiles)))}


def draw_statistics(statistics: Statistics, summary: dict, path: Path, most: int = 30) -> None:
    """Draw entities, areas, sizes and the most frequent classes as one PNG.

    Args:
        statistics: Statistics.
        summary: Their summary.
        path: PNG to write.
        most: Number of classes to show.
    """
    # pyplot would start an interactive backend; a figure of its own needs no screen
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sound = [picture for picture in statistics.pictures if not picture.fault]
    figure = Figure(figsize=(12, 9), layout='constrained')
    FigureCanvasAgg(figure)
    counts, areas, sizes, classes = figure.subplots(2, 2).ravel()
    numbers = [len(picture.areas) for picture in sound]
    counts.hist(numbers, bins=np.arange(max(numbers, default=0) + 2) - 0.5, color='tab:blue')
    counts.set(xlabel='entities of a picture', ylabel='pictures')
    sides = np.sqrt([max(area, 1) for picture in sound for area in picture.areas] or [1])
    areas.hist(sides, bins=np.geomspace(1, sides.max() + 1, 50), color='tab:orange')
    areas.set(xscale='log', xlabel='square root of the area of an entity, px', ylabel='entities')
    for side, name in ((32, 'medium'), (96, 'large')):
        areas.axvline(side, color='black', linestyle='--', linewidth=1)
        areas.annotate(name, (side, 0.97), xycoords=('data', 'axes fraction'), va='top')
    sizes.scatter(
        [p.width for p in sound], [p.height for p in sound], s=8, alpha=0.4, color='tab:green'
    )
    sizes.set(xlabel='width, px', ylabel='height, px', xlim=(0, None), ylim=(0, None))
    rows = summary['classes'][:most][::-1]
    classes.barh([f'{row["name"]} ({row["id"]})' for row in rows], [r['entities'] for r in rows])
    classes.set(xlabel='entities', title=f'{len(rows)} of {len(summary["classes"])} classes')
    classes.tick_params(axis='y', labelsize=7)
    figure.suptitle(
        f'{summary["dataset"]}: {summary["entities"]} entities in {summary["pictures"]} pictures'
    )
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110)
