"""Runs over many images that write files, for pipelines."""

from mmentity.apis.export.options import FORMATS, OutputOptions, RunOptions
from mmentity.apis.export.prediction_run import PredictionRun
from mmentity.apis.export.presets import PRESETS

__all__ = ['FORMATS', 'PRESETS', 'OutputOptions', 'PredictionRun', 'RunOptions']
