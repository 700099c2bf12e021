"""A run over videos and folders of frames in which ids follow the entities."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from mmentity.apis.export.manifest import Manifest
from mmentity.apis.export.numbering import DTYPES, NumberedResult, number_entities
from mmentity.apis.export.options import OutputOptions, RunOptions
from mmentity.apis.export.prediction_run import PredictionRun
from mmentity.apis.inferencer import EntityInferencer, Outcome
from mmentity.apis.inputs import InputImage, Inputs, ListOptions, iterate
from mmentity.apis.result import EntityResult
from mmentity.apis.tracked.files import VideoFile, frames_a_second, video_suffix
from mmentity.apis.tracked.followed import FollowedFrame, FollowedSequence
from mmentity.apis.tracked.kept import read_kept
from mmentity.apis.tracked.sequences import (
    by_sequence,
    check_sequences,
    sequence_key,
    sequence_name,
)
from mmentity.tracking import TrackOptions


class TrackedOutcome(NamedTuple):
    """What became of one frame: what the model found, and what of it is written with which ids."""

    image: InputImage
    result: EntityResult
    numbered: NumberedResult


class TrackedRun(PredictionRun):
    """Predict videos and folders of frames, and write one id for an entity through time.

    A video is a sequence, and so are the images of a folder, in their order; ids begin with 1 in
    each. What is written of a frame is as in :class:`PredictionRun`, with track ids in place of
    its own. Beside that come ``tracks/SEQUENCE.csv``, a row for each track, and
    ``video/SEQUENCE.mp4`` in stable colours.

    With ``skip_existing`` frames that are complete are not predicted again: their maps go
    through the tracker, so that ids, table and video are those of a run without a stop.

    Args:
        inputs: As for :class:`PredictionRun`.
        out: As for :class:`PredictionRun`.
        outputs: As for :class:`PredictionRun`; thresholds are applied before tracking, and
            new entities of a frame are numbered in ``order``.
        options: As for :class:`PredictionRun`, without shards.
        listing: As for :class:`PredictionRun`.
        tracking: How entities are followed.
        video: Whether to write videos.

    Raises:
        FileNotFoundError: As for :class:`PredictionRun`.
        ValueError: As for :class:`PredictionRun`, if two sequences would have the same files,
            or if options do not go together.

    Examples:
        >>> run = TrackedRun('walk.mp4', 'maps/', tracking=TrackOptions(flow=True))
        >>> manifest = run(EntityInferencer('cropformer_hornet-l_3x', 'weights.pth'))
    """

    def __init__(
        self,
        inputs: Inputs,
        out: Union[str, Path],
        outputs: OutputOptions = OutputOptions(),  # noqa: B008
        options: RunOptions = RunOptions(),  # noqa: B008
        listing: ListOptions = ListOptions(),  # noqa: B008
        tracking: TrackOptions = TrackOptions(),  # noqa: B008
        video: bool = True,
    ) -> None:
        _check_options(outputs, options)
        super().__init__(inputs, out, outputs, options, listing)
        check_sequences(self.listed, outputs)
        self.listed = by_sequence(self.listed)
        self.video = video
        largest = int(np.iinfo(DTYPES.get(outputs.id_dtype, np.uint16)).max)
        self.tracking = replace(tracking, largest_id=min(largest, tracking.largest_id))

    def _origin(
        self, inferencer: EntityInferencer, weights: Optional[Union[str, Path]]
    ) -> dict[str, Any]:
        memory, flow = self.tracking.memory, self.tracking.flow
        tracking = {'memory': memory, 'flow': flow, 'every': self.options.every}
        return {**super()._origin(inferencer, weights), 'tracking': tracking}

    def _outcomes(self, inferencer: EntityInferencer, manifest: Manifest) -> Iterator[Any]:
        images = iterate(self.listed, self.options.every)
        marked = ((image, self.existing.to_do(image)) for image in images)
        for _, frames in groupby(marked, key=lambda frame: sequence_key(frame[0])):
            yield from self._follow(frames, inferencer, manifest)

    def _follow(
        self,
        marked: Iterator[tuple[InputImage, Optional[InputImage]]],
        inferencer: EntityInferencer,
        manifest: Manifest,
    ) -> Iterator[Union[Outcome, TrackedOutcome]]:
        """Follow the entities through one sequence."""
        first = next(marked)
        with self._sequence(first[0], manifest.scratch) as sequence:
            for frame in self._frames(chain([first], marked), inferencer, manifest):
                if isinstance(frame, Outcome):
                    sequence.skip()
                    yield frame
                    continue
                numbered = sequence.follow(frame)
                if isinstance(numbered, Exception):
                    yield Outcome(frame.image, numbered)
                elif frame.found is not None:
                    yield TrackedOutcome(frame.image, frame.found, numbered)

    def _sequence(self, first: InputImage, scratch: Path) -> FollowedSequence:
        """Prepare the sequence that begins with an image."""
        name, video = sequence_name(first, self.outputs), None
        if self.video:
            path = self.out / 'video' / f'{name}{video_suffix(scratch)}'
            fps = frames_a_second(first) / self.options.every
            video = VideoFile(path, scratch, fps)
        table = self.out / 'tracks' / f'{name}.csv'
        return FollowedSequence(table, video, self.tracking, self.outputs, scratch)

    def _frames(
        self,
        marked: Iterator[tuple[InputImage, Optional[InputImage]]],
        inferencer: EntityInferencer,
        manifest: Manifest,
    ) -> Iterator[Union[Outcome, FollowedFrame]]:
        """Read the frames that are kept, and predict the others, in their order."""
        needs_image = self.video or self.tracking.flow
        options = self._load_options()
        options = replace(options, keep_image=needs_image or options.keep_image)
        for kept, part in groupby(marked, key=lambda frame: frame[1] is None):
            images = (to_do or image for image, to_do in part)
            if kept:
                for image in images:
                    manifest.skipped += 1
                    rgb = None
                    if needs_image:
                        rgb = inferencer.read(image, options.size)[..., ::-1]
                    yield FollowedFrame(image, None, read_kept(self.out, image, self.outputs, rgb))
                continue
            for image, found in inferencer.outcomes(images, options):
                if isinstance(found, Exception):
                    yield Outcome(image, found)
                else:
                    yield FollowedFrame(image, found, number_entities(found, self.outputs))


def _check_options(outputs: OutputOptions, options: RunOptions) -> None:
    """Raise a ValueError if options do not go with tracking."""
    if options.shard != (1, 1):
        raise ValueError(
            'shard and track do not go together: a shard has only some frames of each sequence; '
            'share out videos or folders instead, and start one run for each'
        )
    if outputs.ids == 'rank':
        raise ValueError('ids=rank and track do not go together: ids are those of tracks')
    if options.skip_existing and 'idmap' not in outputs.formats:
        raise ValueError(
            'skip-existing goes on from the id maps of a tracked sequence; add idmap to --format'
        )
