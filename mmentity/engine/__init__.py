"""Hooks and optimizer wrappers of the runner."""

from mmentity.engine.amp import CpuAmpOptimWrapper
from mmentity.engine.checkpoint_hook import SafeCheckpointHook
from mmentity.engine.curves_hook import CurvesHook
from mmentity.engine.skipped_samples_hook import SkippedSamplesHook

__all__ = [
    'CpuAmpOptimWrapper',
    'CurvesHook',
    'SafeCheckpointHook',
    'SkippedSamplesHook',
]
