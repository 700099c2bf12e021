"""The entities of one picture as one integer map."""

from collections.abc import Sequence
from typing import Optional

import numpy as np
from PIL import Image

from mmentity.structures.rle import Segmentation, encode_map, paint_runs, pixels_of, runs_of

STRIP_ROWS = 256


class EntityMap:
    """All entities of one picture in one map of ids.

    Value 0 is no entity, value k is entity k. Entities do not overlap, so one
    layer holds them all; annotations that do overlap are spread over as few
    further layers as a first-fit needs, and every method stays exact: an entity
    lies in exactly one layer.

    Args:
        ids: Integers ``(H, W)`` or ``(L, H, W)``, 0..K.
        num_entities: K; more than the largest id when some entities have no
            pixel. Defaults to the largest id.

    Attributes:
        ids: int32 ``(L, H, W)``; ``L`` is 1 where entities are disjoint.
        num_entities: Number of entities K, those without a pixel included.

    Raises:
        ValueError: If ``ids`` has another shape, or an id outside 0..K.

    Examples:
        >>> import numpy as np
        >>> entities = EntityMap(np.array([[0, 1], [2, 2]]))
        >>> entities.areas.tolist()
        [1, 2]
        >>> entities.crop((0, 1, 2, 2)).boxes_xyxy_px.tolist()
        [[0, 0, 0, 0], [0, 0, 2, 1]]
    """

    __slots__ = ('ids', 'num_entities')

    def __init__(self, ids: np.ndarray, num_entities: Optional[int] = None) -> None:
        ids = np.asarray(ids)
        if ids.ndim == 2:
            ids = ids[None]
        if ids.ndim != 3 or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(
                f'an entity map holds integers of shape (H, W) or (L, H, W), got {ids.dtype} '
                f'of shape {ids.shape}'
            )
        largest = int(ids.max(initial=0))
        num_entities = largest if num_entities is None else int(num_entities)
        if largest > num_entities or ids.min(initial=0) < 0:
            raise ValueError(
                f'an entity map of {num_entities} entities holds the ids {ids.min()}..{largest}'
            )
        self.ids = ids.astype(np.int32, copy=False)
        self.num_entities = num_entities

    @classmethod
    def from_segmentations(
        cls, segmentations: Sequence[Segmentation], height: int, width: int
    ) -> 'EntityMap':
        """Read COCO segmentations (RLE or polygons), one entity each.

        Disjoint runs go straight into one map, ``O(HW)`` for all of them.

        Raises:
            ValueError: If an RLE does not have the size of the picture.
        """
        runs = [runs_of(s, height, width) for s in segmentations]
        ids = np.arange(1, len(runs) + 1, dtype=np.int32)
        flat = paint_runs(runs, ids, height, width)
        if flat is not None:
            return cls(flat, len(runs))
        return cls(_first_fit([pixels_of(r) for r in runs], height, width), len(runs))

    @classmethod
    def from_masks(cls, masks: np.ndarray) -> 'EntityMap':
        """Read boolean masks ``(N, H, W)``, one entity each."""
        masks = np.asarray(masks, dtype=bool)
        pixels = [np.flatnonzero(mask.T) for mask in masks]
        return cls(_first_fit(pixels, *masks.shape[1:]), len(masks))

    @classmethod
    def from_segment_ids(cls, segments: np.ndarray, segment_ids: Sequence[int]) -> 'EntityMap':
        """Read a map of arbitrary segment ids, as panoptic PNGs hold them.

        Args:
            segments: Integers ``(H, W)``.
            segment_ids: The id of each entity, in order; other values become 0.
        """
        segment_ids = np.asarray(segment_ids, dtype=np.int64)
        order = np.argsort(segment_ids)
        known, inverse = np.unique(segments, return_inverse=True)
        place = np.searchsorted(segment_ids, known, sorter=order)
        place = order[np.minimum(place, max(len(order) - 1, 0))] if len(order) else place
        match = segment_ids[place] == known if len(order) else np.zeros(len(known), bool)
        ids = np.where(match, place + 1, 0).astype(np.int32)
        return cls(ids[inverse].reshape(segments.shape), len(segment_ids))

    @property
    def height(self) -> int:
        """Height in px."""
        return self.ids.shape[1]

    @property
    def width(self) -> int:
        """Width in px."""
        return self.ids.shape[2]

    @property
    def is_disjoint(self) -> bool:
        """Whether one layer holds every entity."""
        return len(self.ids) == 1

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each entity, int64 ``(K,)``."""
        return np.bincount(self.ids.ravel(), minlength=self.num_entities + 1)[1:]

    @property
    def boxes_xyxy_px(self) -> np.ndarray:
        """Tight box of each entity, int64 ``(K, 4)``, right and bottom exclusive.

        The box of an entity without a pixel is all 0.
        """
        boxes = np.zeros((self.num_entities + 1, 4), dtype=np.int64)
        boxes[:, :2] = np.iinfo(np.int64).max
        for layer in self.ids:
            # One pass over the ends of horizontal and vertical runs: a box is
            # given by where runs start and stop.
            rows, columns = _run_borders(layer)
            for axis, (value, start, stop) in enumerate((columns, rows)):
                np.minimum.at(boxes[:, axis], value, start)
                np.maximum.at(boxes[:, axis + 2], value, stop)
        boxes[boxes[:, 2] == 0] = 0
        return boxes[1:]

    def masks(self) -> np.ndarray:
        """Return boolean masks ``(K, H, W)``; ``O(KHW)``, so as late as possible."""
        masks = np.zeros((self.num_entities, self.height, self.width), dtype=bool)
        for layer in self.ids:
            rows, columns = np.nonzero(layer)
            masks[layer[rows, columns] - 1, rows, columns] = True
        return masks

    def rles(self) -> list:
        """Encode each entity as a compressed COCO RLE."""
        rles = encode_map(self.ids[0], self.num_entities)
        for layer in self.ids[1:]:
            for k, rle in enumerate(encode_map(layer, self.num_entities)):
                if (layer == k + 1).any():
                    rles[k] = rle
        return rles

    def crop(self, box_xyxy_px: Sequence[int]) -> 'EntityMap':
        """Cut a box out; the numbering stays and no pixel is copied."""
        x0, y0, x1, y1 = (int(v) for v in box_xyxy_px)
        return self._with(self.ids[:, y0:y1, x0:x1])

    def flip(self) -> 'EntityMap':
        """Mirror left and right."""
        return self._with(self.ids[:, :, ::-1])

    def resize(self, height: int, width: int) -> 'EntityMap':
        """Resize by nearest neighbour, with Pillow's arithmetic."""
        rows, columns = _nearest(self.height, height), _nearest(self.width, width)
        return self._with(self.ids[:, rows[:, None], columns])

    def _with(self, ids: np.ndarray) -> 'EntityMap':
        """Make a map of ids that come from this one, so that they need no check."""
        entities = EntityMap.__new__(EntityMap)
        entities.ids, entities.num_entities = ids, self.num_entities
        return entities

    def select(self, keep: np.ndarray) -> 'EntityMap':
        """Keep some entities and number them anew in their old order.

        Args:
            keep: Boolean ``(K,)``.
        """
        keep = np.asarray(keep, dtype=bool)
        if keep.all():
            return self
        numbers = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
        return EntityMap(self.renumber(numbers), int(keep.sum()))

    def renumber(self, numbers: np.ndarray) -> np.ndarray:
        """Write another number for each entity.

        Args:
            numbers: Integers ``(K,)``; entities of number 0 disappear.

        Returns:
            ``(L, H, W)`` of the type of ``numbers``.
        """
        table = np.concatenate([np.zeros(1, numbers.dtype), numbers])
        drawn = np.empty(self.ids.shape, dtype=numbers.dtype)
        # numpy makes 8-byte indices of what it is given; in strips that is little
        for ids, target in zip(self.ids, drawn):
            for top in range(0, self.height, STRIP_ROWS):
                strip = slice(top, top + STRIP_ROWS)
                np.take(table, ids[strip], out=target[strip], mode='clip')
        return drawn

    def intersections(self, other: 'EntityMap') -> np.ndarray:
        """Count the pixels that each pair of entities shares.

        One joint histogram of the two maps gives all pairs, ``O(HW + K1 K2)``.

        Returns:
            int64 ``(K, other.K)``.

        Raises:
            ValueError: If the maps differ in size.
        """
        return self.joint_histogram(other)[1:, 1:]

    def joint_histogram(self, other: 'EntityMap') -> np.ndarray:
        """Count the pixels of each pair of values, 0 included.

        Where both maps are disjoint, sums over rows and columns are areas.

        Returns:
            int64 ``(K + 1, other.K + 1)``.

        Raises:
            ValueError: If the maps differ in size.
        """
        if self.ids.shape[1:] != other.ids.shape[1:]:
            raise ValueError(
                f'entity maps of {self.height}x{self.width} and {other.height}x{other.width} '
                '(height x width) cannot be compared'
            )
        shape = (self.num_entities + 1, other.num_entities + 1)
        table = np.zeros(shape, dtype=np.int64)
        pairs = shape[0] * shape[1]
        narrow = np.uint16 if pairs <= 1 << 16 else np.int64
        for mine in self.ids:
            row = mine.ravel().astype(narrow) * narrow(shape[1])
            for theirs in other.ids:
                joint = row + theirs.ravel().astype(narrow)
                # pixels come in runs of equal pairs, and one weight counts a whole run
                starts = np.flatnonzero(joint[1:] != joint[:-1]) + 1
                starts = np.append(0, starts) if joint.size else starts
                lengths = np.diff(starts, append=joint.size)
                counts = np.bincount(joint[starts], weights=lengths, minlength=pairs)
                table += counts.astype(np.int64).reshape(shape)
        return table

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, EntityMap)
            and self.num_entities == other.num_entities
            and np.array_equal(self.ids, other.ids)
        )

    __hash__ = None

    def __repr__(self) -> str:
        layers = '' if self.is_disjoint else f', {len(self.ids)} layers'
        return f'EntityMap({self.height}x{self.width} px, {self.num_entities} entities{layers})'


def _nearest(source: int, target: int) -> np.ndarray:
    """Which of ``source`` pixels Pillow takes for each of ``target`` ones, int32."""
    line = Image.fromarray(np.arange(source, dtype=np.int32)[None])
    return np.asarray(line.resize((target, 1), Image.NEAREST))[0]


def _first_fit(pixels: list, height: int, width: int) -> np.ndarray:
    """Put each mask into the first layer where it overlaps no other.

    Args:
        pixels: Column-major pixel indices of each mask.

    Returns:
        int32 ``(L, H, W)``, L >= 1.
    """
    layers = [np.zeros(height * width, dtype=np.int32)]
    for k, own in enumerate(pixels, start=1):
        for layer in layers:
            if not layer[own].any():
                break
        else:
            layer = np.zeros(height * width, dtype=np.int32)
            layers.append(layer)
        layer[own] = k
    return np.stack([layer.reshape(width, height).T for layer in layers])


def _run_borders(layer: np.ndarray) -> tuple:
    """Value, first and past-the-last index of each vertical, then horizontal run."""
    borders = []
    for lines in (layer.T, layer):
        length = lines.shape[1]
        change = np.ones(lines.shape, dtype=bool)
        change[:, 1:] = lines[:, 1:] != lines[:, :-1]
        start = np.flatnonzero(change)
        stop = np.append(start[1:], lines.size)
        borders.append((lines.ravel()[start], start % length, (stop - 1) % length + 1))
    return tuple(borders)
