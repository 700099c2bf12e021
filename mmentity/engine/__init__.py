"""Hooks, optimizer wrappers and strategies of the runner."""

from mmentity.engine.amp import BFloat16OptimWrapper
from mmentity.engine.checkpoint_hook import SafeCheckpointHook
from mmentity.engine.curves_hook import CurvesHook
from mmentity.engine.seed_hook import SeedByIterationHook
from mmentity.engine.sharded import ShardedOptimWrapper, ShardedStrategy
from mmentity.engine.skipped_samples_hook import SkippedSamplesHook

__all__ = [
    'BFloat16OptimWrapper',
    'CurvesHook',
    'SafeCheckpointHook',
    'SeedByIterationHook',
    'ShardedOptimWrapper',
    'ShardedStrategy',
    'SkippedSamplesHook',
]
