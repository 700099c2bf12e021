"""Results as files: runs over many images for pipelines, and a single image."""

from mmentity.apis.export.one_image import OneImage, table_of
from mmentity.apis.export.options import FORMATS, PRESETS, OutputOptions, RunOptions
from mmentity.apis.export.prediction_run import PredictionRun

__all__ = [
    'FORMATS',
    'PRESETS',
    'OneImage',
    'OutputOptions',
    'PredictionRun',
    'RunOptions',
    'table_of',
]
