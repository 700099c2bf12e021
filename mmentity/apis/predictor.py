"""Prediction of batches of rows, for engines that share a data set out between workers."""

import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmentity.apis.export.existing import ExistingFiles
from mmentity.apis.export.formats.features import check_feature_formats
from mmentity.apis.export.manifest import Manifest, origin_of
from mmentity.apis.export.numbering import number_entities
from mmentity.apis.export.options import OutputOptions, RunOptions
from mmentity.apis.export.overlays import check_names_are_given
from mmentity.apis.export.summary import Counts
from mmentity.apis.export.writers import ResultWriter, scratch_folder
from mmentity.apis.export.writing import load_options, write_outcomes
from mmentity.apis.inferencer import EntityInferencer, Outcome
from mmentity.apis.inputs import InputImage
from mmentity.apis.rows import Batch, images_of
from mmentity.checkpoints.hub import weights_file
from mmentity.utils.files import printable

# whole images, which would travel with the results
HEAVY_COLUMNS = {'image', 'bytes'}
# of an image that failed
NOTHING: dict[str, np.ndarray] = {
    'entity_map': np.zeros((0, 0), np.int32),
    'ids': np.zeros(0, np.int32),
    'scores': np.zeros(0, np.float32),
    'labels': np.zeros(0, np.int64),
    'boxes_xyxy': np.zeros((0, 4), np.int64),
    'areas': np.zeros(0, np.int64),
}
ROW_COLUMNS = (*NOTHING, 'error')
FILE_COLUMNS = ('status', 'num_entities', 'error')


class EntityPredictor:
    """Predict batches of rows: dicts of columns in, dicts of columns out.

    It is a callable class for Ray Data's ``map_batches``, each of whose workers builds one; any
    engine that hands over such batches may call it. An image that fails is a row with the
    reason in its column ``error``, and does not stop the others.

    Rows have a column ``path`` of a file, ``bytes`` of a file, or ``image``, uint8 RGB
    ``(H, W, 3)``, grey or RGBA (if several, ``image`` counts, then ``bytes``), and, where files are
    written, ``name``, which files are named after; :func:`list_rows` makes rows of a folder.
    The others stay, but ``image`` and ``bytes`` are dropped. Without ``out`` these are added:

    - ``entity_map``: int32 ``(H, W)``, 0 = no entity, ``(0, 0)`` where the image failed;
    - ``ids``: int32 ``(K,)``, the ids in the map;
    - ``scores``, ``labels``, ``boxes_xyxy``, ``areas``: one row for each id, as of
      :class:`EntityResult`;
    - ``error``: empty, or why the image failed.

    With ``out`` files are written as ``mmentity predict`` writes them, and these are added:

    - ``status``: ``'written'``, ``'kept'`` (with ``skip_existing``) or ``'failed'``;
    - ``num_entities``: number of entities in these files;
    - ``error``: as above.

    Args:
        model: As for :class:`EntityInferencer`.
        weights: As for :class:`EntityInferencer`.
        out: Output folder, which all workers see; an absolute path, since each may have a
            working directory of its own.
        outputs: What is written, and which entities count, in which order.
        device: As for :class:`EntityInferencer`.
        precision: As for :class:`EntityInferencer`.
        compile: As for :class:`EntityInferencer`.
        crops: As for :class:`EntityInferencer`.
        batch_size: Images that go through the network together, see :class:`EntityInferencer`;
            that of ``map_batches`` is how many rows come at a time.
        workers: Threads that load, and as many that write.
        skip_existing: Whether to keep files that are there and of the same images.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If ``out`` is not absolute or a file, files are to be kept that were made with
            other options, config or weights, or as for :class:`EntityInferencer`.

    Examples:
        >>> import ray
        >>> rows = list_rows('frames/')
        >>> done = ray.data.from_items(rows).map_batches(
        ...     EntityPredictor,
        ...     fn_constructor_args=('cropformer_hornet-l_3x', '/data/weights.pth', '/data/maps'),
        ...     batch_size=16,
        ...     compute=ray.data.ActorPoolStrategy(size=2),
        ... )
        >>> [row for row in done.iter_rows() if row['error']]
    """

    def __init__(
        self,
        model: Union[str, Path, Config],
        weights: Optional[Union[str, Path]] = None,
        out: Optional[Union[str, Path]] = None,
        outputs: OutputOptions = OutputOptions(),  # noqa: B008
        device: Optional[str] = None,
        precision: Optional[str] = None,
        compile: bool = False,
        batch_size: int = 1,
        workers: int = 2,
        skip_existing: bool = False,
        crops: Optional[int] = None,
    ) -> None:
        check_feature_formats(outputs, has_features=True)
        check_names_are_given(outputs.drawn, None)
        self.options = RunOptions(batch_size, workers, skip_existing=skip_existing)
        self.outputs = outputs
        self.out = None if out is None else _output_folder(out)
        self.inferencer = EntityInferencer(
            model,
            weights,
            device,
            show_progress=False,
            precision=precision,
            compile=compile,
            crops=crops,
            features=outputs.needs_features,
        )
        if self.out is None:
            if skip_existing:
                raise ValueError('skip_existing keeps files, and there is no out, where they are')
            return
        self.existing = ExistingFiles(self.out, outputs, skip_existing)
        if weights is not None:
            weights = weights_file(weights, self.inferencer.cfg)
        origin = origin_of(self.inferencer, weights, outputs)
        name = f'manifest.worker-{socket.gethostname()}-{os.getpid()}.json'
        with scratch_folder(self.out) as scratch:
            self.manifest = Manifest(self.out / name, scratch, origin)
            if skip_existing:
                self.manifest.check_same()
            self.manifest.write(finished=False)

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Predict a batch.

        Args:
            batch: Columns of the same length.

        Returns:
            Columns of that length, in the same order.

        Raises:
            ValueError: If a column is missing, or has the name of one that is added.
            OSError: If files cannot be written, as on a full disk.
        """
        images = images_of(batch, None if self.out is None else self.outputs)
        taken = set(batch) & set(ROW_COLUMNS if self.out is None else FILE_COLUMNS)
        if taken:
            raise ValueError(
                f'the rows have a column {sorted(taken)[0]}, which the results need; rename it'
            )
        columns = self._predict(images) if self.out is None else self._write(images, self.out)
        return {**{k: v for k, v in batch.items() if k not in HEAVY_COLUMNS}, **columns}

    def _predict(self, images: Sequence[InputImage]) -> dict[str, Any]:
        outcomes = self.inferencer.outcomes(images, load_options(self.options, self.outputs))
        rows = [self._row(outcome) for outcome in outcomes]
        return {key: _column(row[key] for row in rows) for key in ROW_COLUMNS}

    def _row(self, outcome: Outcome) -> dict[str, Any]:
        if isinstance(outcome.result, Exception):
            reason = printable(str(outcome.result) or type(outcome.result).__name__)
            return {**NOTHING, 'error': reason}
        numbered = number_entities(outcome.result, self.outputs)
        return {'entity_map': numbered.id_map(np.int32), **numbered.tables(), 'error': ''}

    def _write(self, images: Sequence[InputImage], out: Path) -> dict[str, Any]:
        """Write the files of a batch, and then the manifest, in which it counts."""
        to_do = [self.existing.to_do(image) for image in images]
        missing = [do for do in to_do if do is not None]
        outcomes = self.inferencer.outcomes(missing, load_options(self.options, self.outputs))
        with scratch_folder(out) as scratch:
            self.manifest.scratch = scratch
            written = write_outcomes(
                outcomes, ResultWriter(out, scratch, self.outputs), self.options.workers
            )
            with closing(written):
                rows = [
                    self._kept(image) if do is None else self._written(*next(written))
                    for image, do in zip(images, to_do)
                ]
            self.manifest.write(finished=True)
        return {
            'status': _column(status for status, _, _ in rows),
            'num_entities': np.array([number for _, number, _ in rows], np.int64),
            'error': _column(error for _, _, error in rows),
        }

    def _kept(self, image: InputImage) -> tuple[str, int, str]:
        """Count an image whose files are there already."""
        self.manifest.skipped += 1
        return 'kept', len(self.existing.record_of(image)['entities']), ''

    def _written(self, image: InputImage, done: Union[Counts, Exception]) -> tuple[str, int, str]:
        """Count an image that was written, or failed."""
        if isinstance(done, Exception):
            reason = self.manifest.fail(image, done)
            MMLogger.get_current_instance().warning(f'failed: {reason}')
            return 'failed', 0, reason
        self.manifest.summary.add(done)
        return 'written', done.written, ''


def _output_folder(out: Union[str, Path]) -> Path:
    out = Path(out)
    if not out.is_absolute():
        raise ValueError(
            f'out is {str(out)!r}, which each worker would take from its own working directory; '
            'give an absolute path'
        )
    if out.exists() and not out.is_dir():
        raise ValueError(f'{out} is a file; out names a folder')
    return out


def _column(values: Iterable[Any]) -> np.ndarray:
    """Make a column of values of any shape."""
    values = list(values)
    column = np.empty(len(values), dtype=object)
    for k, value in enumerate(values):
        # not at once, which would take arrays of one shape for an array of more dimensions
        column[k] = value
    return column
