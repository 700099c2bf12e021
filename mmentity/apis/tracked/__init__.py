"""Runs over videos and folders of frames in which ids follow the entities."""

from mmentity.apis.tracked.run import TrackedRun

__all__ = ['TrackedRun']
