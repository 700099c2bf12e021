"""Scores."""

from mmentity.evaluation.dump_results import DumpEntityResults
from mmentity.evaluation.entity_metric import EntityMetric

__all__ = ['DumpEntityResults', 'EntityMetric']
