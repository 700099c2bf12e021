"""Which target each entity of a frame is, and what became of the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from mmentity.structures import EntityMap
from mmentity.tracking.matching import Overlaps, assign, first_pixels
from mmentity.tracking.memory import Target

# What an IoU counts with a remembered shape, and with the place of a track that is new: what
# comes back in parts begins a track at first, and gets its id when it fits.
TRUST_IN_HIDDEN, TRUST_IN_YOUNG = 0.9, 0.6
# A part of an entity is at least so large, and no other thing within its shape.
SMALLEST = 0.1


@dataclass(frozen=True)
class Association:
    """Pairs of targets and entities of a frame.

    Attributes:
        target_of: Target of each row of the frame that has one.
        targets: All targets, first those that were seen in the frame before.
        columns: The rows of the frame in the order in which they are considered.
        overlaps: Of the places of targets by now with the entities of the frame; none of those
            that were hidden.
    """

    target_of: dict[int, Target]
    targets: Sequence[Target]
    columns: np.ndarray
    overlaps: Overlaps

    def pair(self, values: np.ndarray) -> None:
        """Pair targets and rows that have no partner so that their values are highest.

        Args:
            values: Of all targets and rows, ``(N, K)``; those of 0 are no pairs.
        """
        taken = {id(target) for target in self.target_of.values()}
        rows = [k for k, target in enumerate(self.targets) if id(target) not in taken]
        columns = [row for row in self.columns.tolist() if row not in self.target_of]
        for k, place in assign(values[np.ix_(rows, columns)]):
            self.target_of[columns[place]] = self.targets[rows[k]]

    @property
    def new_rows(self) -> list[int]:
        """Rows with pixels and without a target."""
        rows = np.flatnonzero(self.overlaps.now).tolist()
        return [row for row in rows if row not in self.target_of]

    def origin(self, row: int) -> Optional[Target]:
        """Return the target from which a new entity has split, if so.

        More than half of the entity lies where the target was, which has become smaller by that.
        """
        shared, area = self.overlaps.shared[:, row], self.overlaps.now[row]
        if 2 * shared.max(initial=0) < area:
            return None
        target = self.targets[int(shared.argmax())]
        left = [self.overlaps.now[r] for r, other in self.target_of.items() if other is target]
        return target if left and 2 * (target.area - left[0]) >= area else None

    def absorber(self, target: Target) -> Optional[Target]:
        """Return the target that a lost one has merged into, if so.

        More than half of its place belongs to the other one, which has become larger by that;
        what only disappears behind something makes that no larger.
        """
        k = next(k for k, other in enumerate(self.targets) if other is target)
        shared, now = self.overlaps.shared[k], self.overlaps.now
        if shared.max(initial=0) == 0 or 2 * shared.max() < self.overlaps.before[k]:
            return None
        if 2 * target.area < target.usual_area:
            return None  # the last that was seen of it
        row = int(shared.argmax())
        other = self.target_of.get(row)
        return other if other and 2 * (now[row] - other.area) >= target.area else None


def associate_places(
    before: Optional[np.ndarray],
    seen: Sequence[Target],
    hidden: Sequence[Target],
    entities: EntityMap,
    min_iou: float,
) -> Association:
    """Give each entity of a frame to the target whose place or shape it covers best.

    Args:
        before: Map of the frame before at its place by now, uint16 ``(H, W)``, value k for the
            k-th of the targets seen; None at the first frame.
        seen: Targets that were seen in the frame before, by the id of their track.
        hidden: Targets that were not, likewise.
        entities: Entities of this frame.
        min_iou: Lowest IoU of a pair.
    """
    overlaps = _overlaps_of(before, len(seen), len(hidden), entities)
    # equal values are decided by place, and not by the order of the rows
    columns = np.argsort(first_pixels(entities.ids[0], entities.num_entities), kind='stable')
    found = Association({}, [*seen, *hidden], columns, overlaps)
    shapes = _shape_overlaps(found.targets, entities, overlaps.now)
    trust = np.ones(len(found.targets))
    trust[len(seen) :] = TRUST_IN_HIDDEN
    trust[[target.is_young for target in found.targets]] *= TRUST_IN_YOUNG
    ious = np.maximum(overlaps.ious, shapes.ious)
    found.pair(np.where(ious >= min_iou, ious * trust[:, None], 0))
    return found


def associate_shapes(found: Association, entities: EntityMap, min_share: float) -> None:
    """Give what is left to a place or remembered shape that holds most of it.

    What comes out from behind something, or goes behind it, is a part of what it was.

    Args:
        found: What is known of the frame so far.
        entities: Its entities.
        min_share: Lowest shared part of the smaller one of a pair.
    """
    shapes = _shape_overlaps(found.targets, entities, found.overlaps.now)
    shares = np.maximum(found.overlaps.shares(SMALLEST), shapes.shares(SMALLEST))
    found.pair(np.where(shares >= min_share, shares, 0))


def _overlaps_of(
    before: Optional[np.ndarray], num_seen: int, num_hidden: int, entities: EntityMap
) -> Overlaps:
    shared = np.zeros((num_seen + num_hidden, entities.num_entities), dtype=np.int64)
    places = np.zeros(len(shared), dtype=np.int64)
    if before is None:
        return Overlaps(shared, places, entities.areas)
    histogram = EntityMap(before, num_seen).joint_histogram(entities)
    shared[:num_seen], places[:num_seen] = histogram[1:, 1:], histogram.sum(axis=1)[1:]
    return Overlaps(shared, places, histogram.sum(axis=0)[1:])


def _shape_overlaps(targets: Sequence[Target], entities: EntityMap, areas: np.ndarray) -> Overlaps:
    """Overlaps of the remembered shapes with the entities, 0 for targets without one."""
    shared = np.zeros((len(targets), len(areas)), dtype=np.int64)
    before = np.zeros(len(targets), dtype=np.int64)
    for k, target in enumerate(targets):
        if target.shape is not None:
            counts = target.shape.shared(entities.ids[0], len(areas))
            shared[k], before[k] = counts[1:], counts.sum()
    return Overlaps(shared, before, areas)
