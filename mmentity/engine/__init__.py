"""Hooks of the runner."""

from mmentity.engine.checkpoints import SafeCheckpointHook, allow_mmengine_checkpoints
from mmentity.engine.curves_hook import CurvesHook
from mmentity.engine.skipped_samples_hook import SkippedSamplesHook

__all__ = [
    'CurvesHook',
    'SafeCheckpointHook',
    'SkippedSamplesHook',
    'allow_mmengine_checkpoints',
]
