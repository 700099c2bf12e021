"""The options of ``mmentity predict`` that follow entities through videos."""

import argparse

from mmentity.apis.export import OutputOptions, PredictionRun, RunOptions
from mmentity.apis.inputs import Inputs, ListOptions
from mmentity.tracking import TrackOptions


def add_track_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of tracking."""
    group = parser.add_argument_group('tracking')
    group.add_argument(
        '--track',
        action='store_true',
        help='one id for an entity through each video and folder of frames; writes tracks/*.csv '
        'and video/*.mp4 too',
    )
    group.add_argument(
        '--track-memory',
        type=int,
        metavar='N',
        help='frames for which an entity that is not seen is remembered; '
        f'default: {TrackOptions.memory}',
    )
    group.add_argument(
        '--track-flow',
        action='store_true',
        help='compensate motion between frames by optical flow, for fast things and cameras',
    )
    group.add_argument(
        '--no-track-video', action='store_true', help='write no video of the tracked entities'
    )


def build_run(
    args: argparse.Namespace,
    inputs: Inputs,
    outputs: OutputOptions,
    options: RunOptions,
    listing: ListOptions,
) -> PredictionRun:
    """Build the run that the options ask for, from what both kinds take."""
    if not args.track:
        given = ('track_memory', 'track_flow', 'no_track_video')
        unused = [f'--{name.replace("_", "-")}' for name in given if getattr(args, name)]
        if unused:
            raise ValueError(f'{", ".join(unused)} without --track')
        return PredictionRun(inputs, args.out, outputs, options, listing)
    # its way of reading and writing videos needs more than exported networks do
    from mmentity.apis.tracked import TrackedRun

    memory = TrackOptions.memory if args.track_memory is None else args.track_memory
    tracking = TrackOptions(memory, args.track_flow)
    return TrackedRun(
        inputs, args.out, outputs, options, listing, tracking, video=not args.no_track_video
    )
