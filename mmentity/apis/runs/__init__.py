"""Runs over many pictures that write files, for pipelines."""

from mmentity.apis.runs.options import FORMATS, PRESETS, OutputOptions, RunOptions
from mmentity.apis.runs.prediction_run import PredictionRun

__all__ = ['FORMATS', 'PRESETS', 'OutputOptions', 'PredictionRun', 'RunOptions']
