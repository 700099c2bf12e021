"""The record of a run: what made the files, and what went wrong."""

import json
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Optional

import mmengine
import numpy as np
import PIL
import torch

from mmentity import __version__
from mmentity.utils.files import whole_file

# What must be the same for files of two runs to belong together.
DECISIVE = ('config_sha256', 'weights_sha256')
DECISIVE_OUTPUTS = (
    'score_thr',
    'min_area',
    'order',
    'reverse',
    'ids',
    'id_dtype',
    'size',
    'resize_first',
    'drawn',
    'npz_key',
    'layout',
)


class Manifest:
    """Record of one run, written at its start and at its end.

    Args:
        path: File of the manifest.
        scratch: Where it is written before it gets its name.
        what: What made the run: config, weights, options, ...

    Attributes:
        failures: Name, path and reason of each picture that failed.
        written: Number of pictures whose files were written.
        skipped: Number of pictures whose files were there.
    """

    def __init__(self, path: Path, scratch: Path, what: dict) -> None:
        self.path = Path(path)
        self.scratch = Path(scratch)
        self.what = what
        self.failures: list = []
        self.written = 0
        self.skipped = 0
        self.started = time.time()

    def check_same(self) -> None:
        """Check that earlier runs into the same folder, also of shards, were made alike.

        Raises:
            ValueError: If one was not, so that its files cannot be kept.
        """
        base = self.path.name.split('.')[0]
        now = _decisive(json.loads(json.dumps(self.what)))
        for path in sorted(self.path.parent.glob(f'{base}*.json')):
            if path.name.split('.')[0] != base:
                continue
            before = _decisive(json.loads(path.read_text()))
            different = [
                f'{key} ({before[key]}, now {value})'
                for key, value in now.items()
                if before[key] != value
            ]
            if different:
                raise ValueError(
                    f'the files in {self.path.parent} were made with another '
                    f'{", ".join(different)}; choose another --out or leave out --skip-existing'
                )

    def fail(self, name: str, path: Optional[str], reason: str) -> None:
        """Record a picture that failed."""
        self.failures.append({'name': name, 'path': path, 'reason': reason})

    def write(self, finished: bool) -> None:
        """Write the record as it stands."""
        record = {
            **self.what,
            'versions': versions(),
            'started': _clock(self.started),
            'finished': _clock(time.time()) if finished else None,
            'seconds': round(time.time() - self.started, 1),
            'pictures': {
                'written': self.written,
                'skipped': self.skipped,
                'failed': len(self.failures),
            },
            'failures': self.failures,
        }
        with whole_file(self.path, self.scratch) as partial:
            partial.write_text(json.dumps(record, indent=2))


def versions() -> dict:
    """Versions of what computes and writes."""
    found = {
        'mmentity': __version__,
        'python': platform.python_version(),
        'torch': torch.__version__,
        'mmengine': mmengine.__version__,
        'numpy': np.__version__,
        'pillow': PIL.__version__,
    }
    for module, names in {
        'mmcv': ('mmcv', 'onedl-mmcv'),
        'mmdet': ('mmdet', 'onedl-mmdetection'),
        'mmpretrain': ('mmpretrain', 'onedl-mmpretrain'),
    }.items():
        for name in names:
            try:
                found[module] = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
    return found


def _decisive(record: dict) -> dict:
    outputs = record.get('outputs', {})
    return {
        **{key: record.get(key) for key in DECISIVE},
        **{key: outputs.get(key) for key in DECISIVE_OUTPUTS},
    }


def _clock(seconds: float) -> str:
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))
