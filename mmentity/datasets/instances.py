"""The instances that mmdet's LoadAnnotations reads, whatever the annotations hold."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, overload

from PIL import Image

from mmentity.datasets.rules import instance_runs
from mmentity.datasets.transforms.loading import LoadEntityAnnotations
from mmentity.structures.rle import box_of

Instance = dict[str, Any]


class MapInstances(Sequence[Instance]):
    """Instances of a sample, read from its map when somebody asks for them.

    Our loader reads the map itself, and never asks; mmdet's ``LoadAnnotations`` gets
    boxes, labels and masks as of a COCO json.

    Args:
        info: The sample, as :class:`LoadEntityAnnotations` reads it.
    """

    def __init__(self, info: dict[str, Any]) -> None:
        self._info = info
        self._instances: list[Instance] = []
        self._is_read = False

    def _read(self) -> list[Instance]:
        if not self._is_read:
            results = _load(self._info)
            self._instances = [
                {'bbox': box, 'bbox_label': int(label), 'ignore_flag': int(crowd), 'mask': rle}
                for box, label, crowd, rle in zip(
                    results['gt_bboxes'].tensor.tolist(),
                    results['gt_bboxes_labels'],
                    results['gt_ignore_flags'],
                    text_rles(results),
                )
            ]
            self._is_read = True
        return self._instances

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._read())

    @overload
    def __getitem__(self, index: int) -> Instance: ...

    @overload
    def __getitem__(self, index: slice) -> list[Instance]: ...

    def __getitem__(self, index: Any) -> Any:
        return self._read()[index]


class LazyInstance(Instance):
    """An instance some of whose values are computed when somebody asks for them.

    Args:
        known: Values that are known.
        **readers: For each other key, what returns its value.
    """

    def __init__(self, known: Instance, **readers: Callable[[], Any]) -> None:
        super().__init__(known)
        self._readers = readers

    def __missing__(self, key: str) -> Any:
        if key not in self._readers:
            raise KeyError(key)
        self[key] = self._readers[key]()
        return self[key]


class SegmentMasks:
    """Masks of the segments of one panoptic PNG, read once.

    Args:
        info: The sample, as :class:`LoadEntityAnnotations` reads it.
    """

    def __init__(self, info: dict[str, Any]) -> None:
        self._info = info
        self._rles: dict[int, Instance] = {}

    def of(self, segment_id: int) -> Instance:
        """Return the mask of one segment as an RLE."""
        if not self._rles:
            ids = [segment['id'] for segment in self._info['segments_info']]
            self._rles = dict(zip(ids, text_rles(_load(self._info))))
        return self._rles[segment_id]


def with_instances(info: dict[str, Any]) -> dict[str, Any]:
    """Complete a sample by what mmdet's loader reads of it and its annotation does not hold."""
    if 'segments_info' in info:
        masks = SegmentMasks(dict(info))
        things = [segment for segment in info['segments_info'] if segment['is_thing']]
        info['instances'] = [
            LazyInstance(instance, mask=partial(masks.of, segment['id']))
            for instance, segment in zip(info['instances'], things)
        ]
    elif 'instances' in info:
        info['instances'] = [
            instance
            if 'bbox' in instance
            else LazyInstance(instance, bbox=partial(_box_of_mask, instance, info))
            for instance in info['instances']
        ]
    else:
        info['instances'] = MapInstances(dict(info))
    return info


def _box_of_mask(instance: Instance, info: dict[str, Any]) -> list[float]:
    runs = instance_runs(instance, (info['height'], info['width']))
    return box_of(runs, info['height']).tolist() if len(runs.starts) else [0, 0, 0, 0]


def text_rles(results: dict[str, Any]) -> list[Instance]:
    """Encode loaded entities with counts as text, which mmdet asks for."""
    rles = results['gt_masks'].entities.rles()
    return [{'size': rle['size'], 'counts': rle['counts'].decode()} for rle in rles]


def _load(info: dict[str, Any]) -> dict[str, Any]:
    size = (info.get('height'), info.get('width'))
    if None in size:
        with Image.open(info['seg_map_path']) as image:
            size = image.height, image.width
    return LoadEntityAnnotations()({**info, 'ori_shape': size})
