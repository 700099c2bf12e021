"""The record of a run: what made the files, and what went wrong."""

import glob
import json
import platform
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Optional, Union

from mmentity import __version__
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.summary import Summary
from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.inputs import InputImage
from mmentity.utils.dependencies import installed_version
from mmentity.utils.files import printable, sha256_of, whole_file
from mmentity.utils.progress import clock

# What must be the same in two runs whose files belong together, beside the outputs.
DECISIVE = ('config_sha256', 'weights_sha256', 'precision', 'tracking', 'naming')
# What may differ between two runs whose files belong together.
FREE_OUTPUTS = ('formats', 'sheet', 'npz_tables', 'sequence')
VERSIONS = ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'onnxruntime', 'numpy', 'PIL')


@dataclass
class Manifest:
    """Record of one run, written at its start and at its end.

    ``scratch`` is where it is written before it gets its name, ``origin`` what made
    the files: config, weights, options, ...; the rest counts images whose files were
    written, or existed, and has name, path, cause and reason of those that failed.
    """

    path: Path
    scratch: Path
    origin: dict[str, Any]
    failures: list[dict[str, Optional[str]]] = field(default_factory=list)
    skipped: int = 0
    summary: Summary = field(default_factory=Summary)
    started: float = field(default_factory=time.time)

    @property
    def written(self) -> int:
        """Images of which files were written."""
        return self.summary.images

    def fail(self, image: InputImage, error: Exception) -> str:
        """Record an image that failed; returns the reason."""
        reason = printable(str(error) or type(error).__name__)
        self.failures.append(
            {
                'name': printable(image.name),
                'path': None if image.path is None else printable(image.path),
                'cause': self.summary.fail(error),
                'reason': reason,
            }
        )
        return reason

    def lines(self) -> list[str]:
        """Say what was done."""
        seconds = max(time.time() - self.started, 1e-3)
        counts = f'{self.written} written, {self.skipped} skipped, {len(self.failures)} failed'
        speed = f' in {clock(seconds)}, {self.written / seconds:.1f} images a second'
        return [counts + (speed if self.written else ''), *self.summary.lines()]

    def check_same(self) -> None:
        """Check that earlier runs into the same folder, also of shards, had the same options.

        Raises:
            ValueError: If one had not, so that its files cannot be kept.
        """
        base = self.path.name.split('.')[0]
        now = _decisive(json.loads(json.dumps(self.origin)))
        for path in sorted(self.path.parent.glob(f'{glob.escape(base)}*.json')):
            if path.name.split('.')[0] != base:
                continue
            before = _decisive(json.loads(path.read_text()))
            different = [
                f'{key} ({before.get(key)}, now {value})'
                for key, value in now.items()
                if before.get(key) != value
            ]
            if different:
                raise ValueError(
                    f'the files in {self.path.parent} were made with another '
                    f'{", ".join(different)}; choose another --out or drop --skip-existing'
                )

    def write(self, finished: bool) -> None:
        """Write the record as it stands."""
        record = {
            **self.origin,
            'versions': {
                'mmentity': __version__,
                'python': platform.python_version(),
                **_installed(),
            },
            'started': _clock(self.started),
            'finished': _clock(time.time()) if finished else None,
            'seconds': round(time.time() - self.started, 1),
            'images': {
                'written': self.written,
                'skipped': self.skipped,
                'failed': len(self.failures),
            },
            **self.summary.record(),
            'failures': self.failures,
        }
        with whole_file(self.path, self.scratch) as partial:
            partial.write_text(json.dumps(record, indent=2))


def origin_of(
    inferencer: EntityInferencer, weights: Optional[Union[str, Path]], outputs: OutputOptions
) -> dict[str, Any]:
    """Record what makes the files: config, weights, device, precision and options."""
    return {
        **inferencer.origin,
        'weights': None if weights is None else str(weights),
        'weights_sha256': None if weights is None else sha256_of(weights),
        'device': str(inferencer.device),
        'precision': inferencer.precision,
        'outputs': outputs.record(),
    }


def _decisive(record: dict[str, Any]) -> dict[str, Any]:
    """Select what must be the same for files of two runs to belong together."""
    outputs = record.get('outputs', {})
    return {
        **{key: record.get(key) for key in DECISIVE},
        **{key: value for key, value in outputs.items() if key not in FREE_OUTPUTS},
    }


@cache
def _installed() -> dict[str, Optional[str]]:
    return {module: installed_version(module) for module in VERSIONS}


def _clock(seconds: float) -> str:
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))
