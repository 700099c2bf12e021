"""Prediction for people and pipelines."""

from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.models import get_model
from mmentity.apis.result import EntityResult

__all__ = ['EntityInferencer', 'EntityResult', 'get_model']
