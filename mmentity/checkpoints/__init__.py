"""Weight files into a model and out of it.

``read`` (file to dict) -> ``recognise`` (whose names; converted by ``key_map``) ->
``fit`` and ``load`` (into a model), ``publish`` (into a file) or ``publish_transformers`` (into
a folder). Importing the package lets mmengine load every kind of these checkpoints into
the models of mmentity.
"""

from mmentity.checkpoints.load import load_weights
from mmentity.checkpoints.read import allow_mmengine_checkpoints

__all__ = ['allow_mmengine_checkpoints', 'load_weights']

allow_mmengine_checkpoints()
