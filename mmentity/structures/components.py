"""Connected parts of the entities of a map."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from mmentity.structures.entity_map import EntityMap, LineRuns, runs_of_lines


def split_components(
    entities: EntityMap, gap_px: float = 0, min_area: int = 0
) -> tuple[EntityMap, np.ndarray]:
    """Make an entity of each connected part of each entity.

    A pixel is connected to its eight neighbours. Runs of pixels are connected instead of
    pixels, ``O(HW)`` for all entities together.

    Args:
        entities: Map of K entities.
        gap_px: Parts of one entity stay together where the centres of their nearest pixels are
            at most this far apart, in px; by default none do.
        min_area: Parts of fewer pixels do not take part in that.

    Returns:
        The map of N parts, those of an entity one after the other, the largest first, and the
        entity 1..K that each is of, int64 ``(N,)``.

    Examples:
        >>> parts, owners = split_components(EntityMap(np.array([[1, 0, 1], [2, 2, 1]])))
        >>> parts.ids[0].tolist(), owners.tolist()
        ([[2, 0, 1], [3, 3, 1]], [1, 1, 2])
    """
    ids = np.empty_like(entities.ids)
    owners = [np.empty(0, np.int64)]
    for layer, target in zip(entities.ids, ids):
        parts = _Parts.of(layer)
        if gap_px > 0:
            parts = parts.joined(layer.shape, gap_px, min_area)
        numbers = parts.numbers()
        first = sum(map(len, owners))
        table = np.append(0, numbers + first).astype(np.int32)
        target[...] = parts.paint(table, layer.shape)
        owner_of = np.empty(len(numbers), np.int64)
        owner_of[numbers - 1] = parts.owners
        owners.append(owner_of)
    return _sorted_by_owner(EntityMap(ids), np.concatenate(owners))


def _sorted_by_owner(parts: EntityMap, owners: np.ndarray) -> tuple[EntityMap, np.ndarray]:
    """Bring the parts of several layers into the order of the entities."""
    order = np.argsort(owners, kind='stable')
    if parts.is_disjoint:
        return parts, owners
    numbers = np.empty(len(order), np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    return EntityMap(parts.renumber(numbers), len(order)), owners[order]


class _Parts(NamedTuple):
    """The parts of the entities of one layer.

    Attributes:
        runs: Runs of equal ids along its rows.
        part_of: Part of each run, from 1; 0 = no entity.
        owners: Entity of each part, int64 ``(N,)``.
        areas: Pixels of each part, int64 ``(N,)``.
    """

    runs: LineRuns
    part_of: np.ndarray
    owners: np.ndarray
    areas: np.ndarray

    @classmethod
    def of(cls, layer: np.ndarray) -> '_Parts':
        runs = runs_of_lines(np.ascontiguousarray(layer))
        pairs = _touching(runs, layer.shape[1])
        is_entity = runs.values > 0
        part_of = np.zeros(len(is_entity), np.int64)
        _, index = np.unique(_groups(len(is_entity), pairs)[is_entity], return_inverse=True)
        part_of[is_entity] = index + 1
        return cls._of_runs(runs, part_of)

    @classmethod
    def _of_runs(cls, runs: LineRuns, part_of: np.ndarray) -> '_Parts':
        number = int(part_of.max(initial=0))
        owners = np.zeros(number + 1, np.int64)
        owners[part_of] = runs.values
        areas = np.bincount(part_of, runs.stops - runs.starts, number + 1).astype(np.int64)
        return cls(runs, part_of, owners[1:], areas[1:])

    def paint(self, table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Write one value of each part, the first one elsewhere."""
        return np.repeat(table[self.part_of], self.runs.stops - self.runs.starts).reshape(shape)

    def numbers(self) -> np.ndarray:
        """Number the parts from 1, entity by entity, the largest first."""
        order = np.lexsort((-self.areas, self.owners))
        numbers = np.empty(len(order), np.int64)
        numbers[order] = np.arange(1, len(order) + 1)
        return numbers

    def joined(self, shape: tuple[int, ...], gap_px: float, min_area: int) -> '_Parts':
        """Join the parts of an entity that are near each other."""
        wanted = self.areas >= min_area
        several = np.bincount(self.owners[wanted], minlength=self.owners.max(initial=0) + 1) > 1
        wanted &= several[self.owners]
        trees: dict[int, list[tuple[int, cKDTree]]] = {}
        for part, points in self._edges(wanted, shape).items():
            trees.setdefault(self.owners[part], []).append((part, cKDTree(points)))
        pairs = [
            (part, other)
            for of_entity in trees.values()
            for (part, tree), (other, other_tree) in combinations(of_entity, 2)
            if tree.count_neighbors(other_tree, gap_px)
        ]
        groups = _groups(len(self.owners), np.array(pairs, np.int64).reshape(-1, 2))
        _, index = np.unique(groups, return_inverse=True)
        return self._of_runs(self.runs, np.append(0, index + 1)[self.part_of])

    def _edges(self, wanted: np.ndarray, shape: tuple[int, ...]) -> dict[int, np.ndarray]:
        """Rows and columns of the pixels of each wanted part that border on something else."""
        numbers = np.where(wanted, np.arange(len(wanted)), -1)
        parts = np.pad(self.paint(np.append(-1, numbers), shape), 1, constant_values=-1)
        inner = parts[1:-1, 1:-1]
        neighbours = (parts[:-2, 1:-1], parts[2:, 1:-1], parts[1:-1, :-2], parts[1:-1, 2:])
        is_edge = np.zeros(shape, bool)
        for neighbour in neighbours:
            is_edge |= inner != neighbour
        points = np.argwhere(is_edge & (inner >= 0))
        part_of = inner[points[:, 0], points[:, 1]]
        order = np.argsort(part_of, kind='stable')
        known, firsts = np.unique(part_of[order], return_index=True)
        return dict(zip(known.tolist(), np.split(points[order], firsts[1:])))


def _touching(runs: LineRuns, width: int) -> np.ndarray:
    """Pairs of runs of one value in neighbouring lines that touch, corners included."""
    places = runs.lines * width + runs.starts
    below = (runs.lines + 1) * width
    low = np.searchsorted(places, below + np.maximum(runs.starts - 1, 0), 'right') - 1
    high = np.searchsorted(places, below + np.minimum(runs.stops, width - 1), 'right') - 1
    # the last line has none below it
    counts = np.where(runs.lines < runs.lines.max(initial=0), high - low + 1, 0)
    above = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts)
    pairs = np.stack([above, np.repeat(low, counts) + offsets], axis=1)
    values = runs.values[pairs]
    return pairs[(values[:, 0] == values[:, 1]) & (values[:, 0] > 0)]


def _groups(number: int, pairs: np.ndarray) -> np.ndarray:
    """Group what is connected by pairs; the group of each of ``number`` things."""
    graph = coo_array((np.ones(len(pairs), np.int8), pairs.T), shape=(number, number))
    return connected_components(graph, directed=False)[1]
