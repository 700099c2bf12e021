"""The entities of one image as one integer map."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from mmentity.structures.rle import (
    Rle,
    Runs,
    Segmentation,
    encode_map,
    paint_runs,
    pixels_of,
    runs_of,
)

STRIP_ROWS = 256


class EntityMap:
    """All entities of one image in one map of ids.

    Value 0 is no entity, value k is entity k. Entities do not overlap, so one
    layer holds them all; annotations that do overlap go into further layers, each
    entity into the first layer where it overlaps no other, and every method stays
    exact.

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
            ValueError: If an RLE does not have the size of the image.
        """
        return cls.from_runs([runs_of(s, height, width) for s in segmentations], height, width)

    @classmethod
    def from_runs(cls, runs: Sequence[Runs], height: int, width: int) -> 'EntityMap':
        """Read masks that are given as runs of an image of ``height`` x ``width`` px."""
        ids = np.arange(1, len(runs) + 1, dtype=np.int32)
        disjoint = paint_runs(runs, ids, height, width)
        if disjoint is None:
            disjoint = _first_fit([pixels_of(r) for r in runs], height, width)
        return cls(disjoint, len(runs))

    @classmethod
    def from_masks(cls, masks: np.ndarray) -> 'EntityMap':
        """Read boolean masks ``(N, H, W)``, one entity each."""
        masks = np.asarray(masks, dtype=bool)
        pixels = [np.flatnonzero(mask.T) for mask in masks]
        return cls(_first_fit(pixels, *masks.shape[1:]), len(masks))

    @classmethod
    def from_segment_ids(cls, segments: np.ndarray, segment_ids: ArrayLike) -> 'EntityMap':
        """Read a map of arbitrary segment ids, as panoptic PNGs hold them.

        Args:
            segments: Integers ``(H, W)``.
            segment_ids: Integers ``(K,)``, the id of each entity; other values become 0.
        """
        runs = _ValueRuns.of(segments)
        wanted = np.asarray(segment_ids, dtype=np.int64)
        order = np.argsort(wanted)
        ids = np.zeros(len(runs.known), dtype=np.int32)
        if len(order):
            index = np.searchsorted(wanted, runs.known, sorter=order)
            index = order[np.minimum(index, len(order) - 1)]
            ids = np.where(wanted[index] == runs.known, index + 1, 0).astype(np.int32)
        return cls(runs.paint(ids), len(wanted))

    @classmethod
    def from_id_map(cls, values: np.ndarray, no_entity_ids: Sequence[int] = ()) -> 'EntityMap':
        """Read a map in which each value is one entity, in ascending order.

        Args:
            values: Integers ``(H, W)``.
            no_entity_ids: Values besides 0 that are no entity.
        """
        runs = _ValueRuns.of(values)
        is_entity = ~np.isin(runs.known, [0, *no_entity_ids])
        ids = np.where(is_entity, np.cumsum(is_entity), 0).astype(np.int32)
        return cls(runs.paint(ids), int(is_entity.sum()))

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
            # along the lines that are in one piece in memory; runs tell both axes
            across = layer.strides[0] < layer.strides[1]
            runs = runs_of_lines(layer.T if across else layer)
            for axis, (low, high) in enumerate(
                ((runs.starts, runs.stops), (runs.lines, runs.lines + 1))
            ):
                axis = 1 - axis if across else axis
                np.minimum.at(boxes[:, axis], runs.values, low)
                np.maximum.at(boxes[:, axis + 2], runs.values, high)
        boxes[boxes[:, 2] == 0] = 0
        return boxes[1:]

    def masks(self) -> np.ndarray:
        """Return boolean masks ``(K, H, W)``; ``O(KHW)``, so as late as possible."""
        masks = np.zeros((self.num_entities, self.height, self.width), dtype=bool)
        for layer in self.ids:
            rows, columns = np.nonzero(layer)
            masks[layer[rows, columns] - 1, rows, columns] = True
        return masks

    def rles(self) -> list[Rle]:
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
        return self.with_ids(self.ids[:, y0:y1, x0:x1])

    def flip(self) -> 'EntityMap':
        """Mirror left and right."""
        return self.with_ids(self.ids[:, :, ::-1])

    def resize(self, height: int, width: int) -> 'EntityMap':
        """Resize by nearest neighbour, with Pillow's arithmetic."""
        rows, columns = _nearest(self.height, height), _nearest(self.width, width)
        return self.with_ids(self.ids[:, rows[:, None], columns])

    def with_ids(self, ids: np.ndarray) -> 'EntityMap':
        """Make a map of ids that come from this one, so that they need no check.

        Args:
            ids: int32 ``(L, H, W)`` with no other values than this map.
        """
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
        """Replace the id of each entity by another number.

        Args:
            numbers: Integers ``(K,)``; entities of number 0 disappear.

        Returns:
            ``(L, H, W)`` of the type of ``numbers``.
        """
        table = np.concatenate([np.zeros(1, numbers.dtype), numbers])
        renumbered = np.empty(self.ids.shape, dtype=numbers.dtype)
        # numpy makes 8-byte indices of what it is given; in strips that is little
        for ids, target in zip(self.ids, renumbered):
            for top in range(0, self.height, STRIP_ROWS):
                strip = slice(top, top + STRIP_ROWS)
                np.take(table, ids[strip], out=target[strip], mode='clip')
        return renumbered

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
        shape = (self.num_entities + 1, other.num_entities + 1)
        return count_pairs(self.ids, other.ids, shape)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, EntityMap)
            and self.num_entities == other.num_entities
            and np.array_equal(self.ids, other.ids)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        layers = '' if self.is_disjoint else f', {len(self.ids)} layers'
        return f'EntityMap({self.height}x{self.width} px, {self.num_entities} entities{layers})'


def count_pairs(layers: np.ndarray, other_layers: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Count the pixels of each pair of values of two maps.

    Args:
        layers: Integers ``(L, H, W)``, below ``shape[0]``.
        other_layers: Integers ``(M, H, W)``, below ``shape[1]``.
        shape: Number of values of each.

    Returns:
        int64 of ``shape``, over all pairs of layers.

    Raises:
        ValueError: If the maps differ in size.
    """
    size, other_size = layers.shape[1:], other_layers.shape[1:]
    if size != other_size:
        raise ValueError(
            f'entity maps of {size[0]}x{size[1]} and {other_size[0]}x{other_size[1]} '
            '(height x width) cannot be compared'
        )
    table = np.zeros(shape, dtype=np.int64)
    pairs = shape[0] * shape[1]
    narrow = np.uint16 if pairs <= 1 << 16 else np.uint32 if pairs <= 1 << 32 else np.int64
    for layer in layers:
        row = layer.ravel().astype(narrow)
        row *= narrow(shape[1])
        for other_layer in other_layers:
            joint = other_layer.ravel().astype(narrow)
            joint += row
            # pixels come in runs of equal pairs, and one weight counts a whole run
            starts = np.flatnonzero(joint[1:] != joint[:-1]) + 1
            starts = np.append(0, starts) if joint.size else starts
            lengths = np.diff(starts, append=joint.size)
            counts = np.bincount(joint[starts], weights=lengths, minlength=pairs)
            table += counts.astype(np.int64).reshape(shape)
    return table


def _nearest(source: int, target: int) -> np.ndarray:
    """Return the one of ``source`` pixels that Pillow takes for each of ``target`` ones, int32."""
    line = Image.fromarray(np.arange(source, dtype=np.int32)[None])
    return np.asarray(line.resize((target, 1), Image.Resampling.NEAREST))[0]


def _first_fit(pixels: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Put each mask into the first layer where it overlaps no other.

    Args:
        pixels: Column-major pixel indices of each mask.

    Returns:
        int32 ``(L, H, W)``, L >= 1.
    """
    layers = [np.zeros(height * width, dtype=np.int32)]
    for k, indices in enumerate(pixels, start=1):
        for layer in layers:
            if not layer[indices].any():
                break
        else:
            layer = np.zeros(height * width, dtype=np.int32)
            layers.append(layer)
        layer[indices] = k
    return np.stack([layer.reshape(width, height).T for layer in layers])


class _ValueRuns(NamedTuple):
    """Runs of equal values of a whole map, of which there are far fewer to sort than pixels.

    Attributes:
        known: Distinct values, ascending.
        value_of: Place among them of the value of each run.
        lengths: Pixels of each run.
        shape: ``(H, W)``.
    """

    known: np.ndarray
    value_of: np.ndarray
    lengths: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray) -> '_ValueRuns':
        flat = np.asarray(values).ravel()
        starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1])[: flat.size])
        known, value_of = np.unique(flat[starts], return_inverse=True)
        return cls(known, value_of, np.diff(starts, append=flat.size), np.shape(values))

    def paint(self, numbers: np.ndarray) -> np.ndarray:
        """Replace each of the known values by a number, ``(H, W)``."""
        return np.repeat(numbers[self.value_of], self.lengths).reshape(self.shape)


class LineRuns(NamedTuple):
    """Runs of equal values along the lines of a map.

    Attributes:
        values: Value of each run.
        lines: Its line.
        starts: Its first place in that line.
        stops: The place after its last one.
    """

    values: np.ndarray
    lines: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


def runs_of_lines(lines: np.ndarray) -> LineRuns:
    """Find the runs of equal values of each line, 0 included, in order."""
    changes = np.ones(lines.shape, dtype=bool)
    np.not_equal(lines[:, 1:], lines[:, :-1], out=changes[:, 1:])
    starts = np.flatnonzero(changes)
    numbers, places = np.divmod(starts, lines.shape[1])
    lengths = np.diff(starts, append=lines.size)
    return LineRuns(lines[numbers, places], numbers, places, places + lengths)
