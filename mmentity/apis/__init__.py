"""Prediction for people and pipelines."""

from mmentity.apis.entity_inferencer import EntityInferencer
from mmentity.apis.entity_result import EntityResult

__all__ = ['EntityInferencer', 'EntityResult']
