"""All targets of a sequence: those seen in the last frame, and those that are hidden."""

from typing import NamedTuple, Optional

import numpy as np

from mmentity.structures import EntityMap
from mmentity.tracking.association import Association, associate_places, associate_shapes
from mmentity.tracking.memory import Shape, Target
from mmentity.tracking.motion import Motion, centres, mean_motion, warp
from mmentity.tracking.tracks import Track, TrackEvent

STILL = np.zeros(2)


class Step(NamedTuple):
    """One frame on its way into the scene: number, entities, their scores, motion up to it."""

    frame: int
    entities: EntityMap
    scores: np.ndarray
    motion: Optional[Motion]


class Scene:
    """What is known of a sequence between two frames, of bounded size.

    Args:
        memory: Frames for which a hidden target is remembered.

    Attributes:
        seen: Targets of the last frame, by the id of their track.
        hidden: Targets that are remembered, likewise.
        ids: Map of the last frame, uint16 ``(H, W)``: value k is ``seen[k - 1]``.
        next_id: Id of the next new track.
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.seen: list[Target] = []
        self.hidden: list[Target] = []
        self.ids: Optional[np.ndarray] = None
        self.next_id = 1

    def tracks(self) -> list[Track]:
        """Return the tracks that have not ended, by id."""
        return sorted((t.track for t in (*self.seen, *self.hidden)), key=lambda track: track.id)

    def associate(self, step: Step, min_iou: float, min_share: float) -> Association:
        """Move everything to where it is by now, and find what is which."""
        before = self.ids
        if before is not None and step.motion is not None:
            before = warp(before, step.motion)
        for target in (*self.seen, *self.hidden):
            self._move(target, step)
        found = associate_places(before, self.seen, self.hidden, step.entities, min_iou)
        taken = {id(target) for target in found.target_of.values()}
        for number, target in enumerate(self.seen, start=1):
            if id(target) not in taken:
                self._remember(number, step)
        associate_shapes(found, step.entities, min_share)
        return found

    def take(self, step: Step, found: Association) -> tuple[list[TrackEvent], list[Track]]:
        """Take over a frame; the targets of its entities are completed in ``found``.

        Returns:
            What happened, and the tracks that have ended.
        """
        events = self._lose(step, found) + self._find(step, found) + self._add(step, found)
        self._see(step, found)
        hidden = {id(t): t for t in (*self.seen, *self.hidden)}
        for target in found.target_of.values():
            hidden.pop(id(target), None)
        ended = [t for t in hidden.values() if step.frame - t.track.last > self.memory]
        self.hidden = [t for t in hidden.values() if step.frame - t.track.last <= self.memory]
        self.hidden.sort(key=lambda target: target.track.id)
        self._paint(step, found)
        events += [TrackEvent('death', step.frame, target.track.id) for target in ended]
        return events, [target.track for target in ended]

    def _move(self, target: Target, step: Step) -> None:
        if target.shape is not None:
            camera = STILL if step.motion is None else step.motion.camera
            target.shape.move(camera, target.velocity, step.entities.ids.shape[1:])

    def _remember(self, number: int, step: Step) -> None:
        """Keep the shape that a target had in the last frame, at its place by now."""
        target = self.seen[number - 1]
        if self.memory and target.shape is None and self.ids is not None:
            target.shape, target.since = Shape.of(self.ids, number), step.frame
            self._move(target, step)

    def _lose(self, step: Step, found: Association) -> list[TrackEvent]:
        """Remember what was seen in the last frame and is not in this one."""
        events = []
        now = {id(target) for target in found.target_of.values()}
        for target in self.seen:
            if id(target) in now:
                continue
            other = found.absorber(target)
            if other is not None:
                event = TrackEvent('merge', step.frame, target.track.id, other.track.id)
                events.append(event)
            elif self.memory:
                events.append(TrackEvent('lost', step.frame, target.track.id))
        return events

    def _find(self, step: Step, found: Association) -> list[TrackEvent]:
        """Note the hidden targets that are seen again."""
        again = {target.track.id for target in found.target_of.values()}
        hidden = [target.track.id for target in self.hidden]
        return [TrackEvent('found', step.frame, number) for number in hidden if number in again]

    def _add(self, step: Step, found: Association) -> list[TrackEvent]:
        """Begin a track for each entity that has no target, in the order of the rows."""
        events = []
        for row in found.new_rows:
            other = found.origin(row)
            event = TrackEvent('birth', step.frame, self.next_id)
            if other is not None:
                event = TrackEvent('split', step.frame, self.next_id, other.track.id)
            events.append(event)
            found.target_of[row] = Target(Track(self.next_id, step.frame, step.frame))
            self.next_id += 1
        return events

    def _see(self, step: Step, found: Association) -> None:
        """Bring targets up to the frame."""
        entities, motion = step.entities, step.motion
        number_of = {id(target): number for number, target in enumerate(self.seen, start=1)}
        places = centres(entities.ids[0], entities.num_entities)
        moved = None if motion is None else mean_motion(entities.ids[0], len(places), motion)
        for row, target in found.target_of.items():
            area = int(found.overlaps.now[row])
            velocity = None if target.centre is None else places[row] - target.centre
            if motion is not None and moved is not None:
                velocity = moved[row] - motion.camera
            was_seen = target.track.last == step.frame - 1
            target.track.see(step.frame, area, float(step.scores[row]))
            target.see(area, velocity if was_seen else None, places[row])
            if not target.is_whole and id(target) in number_of:
                self._remember(number_of[id(target)], step)
            target.settle(step.frame, self.memory)

    def _paint(self, step: Step, found: Association) -> None:
        """Keep the map of the frame, numbered by the targets in the order of their tracks."""
        rows = sorted(found.target_of, key=lambda row: found.target_of[row].track.id)
        self.seen = [found.target_of[row] for row in rows]
        numbers = np.zeros(step.entities.num_entities, dtype=np.uint16)
        numbers[rows] = np.arange(1, len(rows) + 1)
        self.ids = step.entities.renumber(numbers)[0]
