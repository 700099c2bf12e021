"""Metrics of a test, and its predictions as a file."""

from mmentity.evaluation.class_aware_metrics import (
    EntitySegInstanceMetric,
    EntitySegPanopticMetric,
)
from mmentity.evaluation.dump_results import DumpEntityResults
from mmentity.evaluation.entity_metric import EntityMetric

__all__ = [
    'DumpEntityResults',
    'EntityMetric',
    'EntitySegInstanceMetric',
    'EntitySegPanopticMetric',
]
