"""Runs over many images that write files, for pipelines."""

from mmentity.apis.export.options import FORMATS, PRESETS, OutputOptions, RunOptions
from mmentity.apis.export.prediction_run import PredictionRun

__all__ = ['FORMATS', 'PRESETS', 'OutputOptions', 'PredictionRun', 'RunOptions']
