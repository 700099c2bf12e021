"""Results as files: runs over many images for pipelines, and a single image."""

from mmentity.apis.export.one_image import OneImage, table_of
from mmentity.apis.export.options import FORMATS, OutputOptions, RunOptions
from mmentity.apis.export.prediction_run import PredictionRun
from mmentity.apis.export.presets import PRESETS, Preset, read_preset

__all__ = [
    'FORMATS',
    'PRESETS',
    'OneImage',
    'OutputOptions',
    'PredictionRun',
    'Preset',
    'RunOptions',
    'read_preset',
    'table_of',
]
