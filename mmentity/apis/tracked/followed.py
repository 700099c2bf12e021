"""One sequence of a run while its frames go through the tracker."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Optional, Union

import numpy as np

from mmentity.apis.export.numbering import NumberedResult
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.overlays import draw_overlay
from mmentity.apis.inputs import InputImage
from mmentity.apis.result import EntityResult
from mmentity.apis.tracked.files import TrackTable, VideoFile
from mmentity.datasets.errors import SampleError
from mmentity.tracking import EntityTracker, FrameSizeError, TooManyTracksError, TrackOptions
from mmentity.utils.logs import get_logger


class FollowedFrame(NamedTuple):
    """A frame before its entities are followed.

    Attributes:
        image: What it is.
        found: What the model found, None where the files of the frame are kept.
        numbered: What of it is written, with the ids of the frame; kept ones where it is kept.
    """

    image: InputImage
    found: Optional[EntityResult]
    numbered: NumberedResult


class FollowedSequence:
    """Follow the entities of a sequence; its table and video appear when it is left without error.

    Args:
        table: Path of the table, csv.
        video: The video, if there is to be one.
        tracking: How entities are followed.
        outputs: What is written of a frame, and how it is drawn.
        scratch: Folder in which files are written at first.
    """

    def __init__(
        self,
        table: Path,
        video: Optional[VideoFile],
        tracking: TrackOptions,
        outputs: OutputOptions,
        scratch: Path,
    ) -> None:
        self.path, self.video, self.scratch, self.outputs = table, video, scratch, outputs
        self.table, self.tracker = TrackTable(), EntityTracker(tracking)
        self._has_frames = False
        # the width of a legend differs from frame to frame, and only files of frames have names
        self.drawn = tuple(name for name in outputs.drawn if name not in ('legend', 'names'))

    def __enter__(self) -> 'FollowedSequence':
        """Begin."""
        self._stack = ExitStack()
        if self.video is not None:
            self._stack.enter_context(self.video)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """End, and write what belongs to the whole sequence."""
        self._stack.__exit__(kind, error, traceback)
        if kind is None and self._has_frames:
            self.table.close(self.tracker.finish())
            self.table.write(self.path, self.scratch)
            get_logger().info(f'{len(self.table)} tracks in {self.path}')

    def skip(self) -> None:
        """Count a frame that cannot be used."""
        self.tracker.skip()

    def follow(self, frame: FollowedFrame) -> Union[NumberedResult, SampleError]:
        """Give the entities of a frame their tracks; an error that is the frame's own is returned.

        Raises:
            ValueError: If kept ids are others, or there are more tracks than ids.
        """
        own, image = frame.numbered.result, frame.image
        try:
            tracked = self.tracker.update(own)
        except FrameSizeError as error:
            self.skip()
            return SampleError(
                f'{image.place} cannot be followed: {error}; or give all one size (--resize WxH)',
                'other-size',
            )
        except TooManyTracksError as error:
            raise ValueError(self._too_many(image, error)) from error
        if frame.found is None and not np.array_equal(tracked.track_ids, frame.numbered.ids):
            raise ValueError(
                f'the ids that were written of {image.place} do not follow from the frames before '
                'it, of which some have changed or were missing; drop --skip-existing to track '
                'the sequence anew'
            )
        self._has_frames = True
        order = np.argsort(tracked.track_ids)
        numbered = NumberedResult(own.take(order), tracked.track_ids[order])
        self.table.add(tracked, image.name)
        if self.video is not None:
            self.video.add(draw_overlay(numbered, self.drawn))
        return numbered

    def _too_many(self, image: InputImage, error: Exception) -> str:
        wider = 'write uint16 (--id-dtype uint16), ' if self.outputs.id_dtype == 'uint8' else ''
        return (
            f'{image.place}: {error}; {wider}keep fewer entities (a higher --score-thr or '
            '--min-area), or cut the sequence into shorter ones'
        )
