"""Prediction for people and pipelines."""

from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.models import get_model
from mmentity.apis.predictor import EntityPredictor
from mmentity.apis.result import EntityResult
from mmentity.apis.rows import list_rows

__all__ = ['EntityInferencer', 'EntityPredictor', 'EntityResult', 'get_model', 'list_rows']
