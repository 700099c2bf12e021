"""What is asked for without loading CLIP: whether open_clip is there, and which model is taken."""

import importlib.util

MODEL = 'ViT-B-32'
WEIGHTS = 'laion2b_s34b_b79k'


def check_open_clip() -> None:
    """Raise an ImportError if open_clip is not installed."""
    if importlib.util.find_spec('open_clip') is None:
        raise ImportError(
            'names of entities need open_clip, which is not installed; run: '
            'pip install "mmentity[clip]"'
        )
