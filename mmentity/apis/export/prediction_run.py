"""One run over many images: load, predict, write, resume."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.config import Config
from mmengine.logging import MMLogger

from mmentity.apis.export.contact_sheet import write_contact_sheet
from mmentity.apis.export.file_names import check_files, files_of, sequence_of
from mmentity.apis.export.manifest import Manifest
from mmentity.apis.export.options import OutputOptions, RunOptions
from mmentity.apis.export.writers import ResultWriter, scratch_folder
from mmentity.apis.inferencer import EntityInferencer, LoadOptions, Outcome
from mmentity.apis.inputs import InputImage, Inputs, count, iterate, list_inputs
from mmentity.apis.threads import map_in_background
from mmentity.utils.files import sha256_of
from mmentity.utils.progress import show_progress


class PredictionRun:
    """Predict images and write files, one run.

    An image that fails is recorded and does not stop the others; files appear
    whole or not at all, whenever the process ends.

    Args:
        inputs: As for :class:`EntityInferencer`.
        out: Output folder.
        outputs: What to write for each image.
        options: How to go through the images.

    Raises:
        FileNotFoundError: If an input does not exist or holds no image.
        ValueError: If two images would be written to the same file, or ``out``
            is a file.

    Examples:
        >>> run = PredictionRun('frames/', 'maps/', PRESETS['maskclustering'])
        >>> manifest = run(EntityInferencer('mask2former_hornet-l_3x', 'weights.pth'))
        >>> manifest.written, manifest.failures
    """

    def __init__(
        self,
        inputs: Inputs,
        out: Union[str, Path],
        outputs: OutputOptions = OutputOptions(),  # noqa: B008
        options: RunOptions = RunOptions(),  # noqa: B008
    ) -> None:
        self.out = Path(out)
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f'{out} is a file; --out names a folder')
        self.listed = list_inputs(inputs)
        check_files(self.listed, outputs)
        self.outputs = outputs
        self.options = options

    def __call__(
        self, inferencer: EntityInferencer, weights: Optional[Union[str, Path]] = None
    ) -> Manifest:
        """Do the run; return the manifest, in which the file of the weights is named.

        Raises:
            ValueError: If files of an earlier run are to be kept and were made
                with other options, config or weights.
            OSError: If files cannot be written, as on a full disk.
        """
        with scratch_folder(self.out) as scratch:
            manifest = Manifest(self.manifest_path(), scratch, self._origin(inferencer, weights))
            if self.options.skip_existing:
                manifest.check_same()
            manifest.write(finished=False)
            try:
                self._predict(inferencer, ResultWriter(self.out, scratch, self.outputs), manifest)
                if self.outputs.sheet:
                    write_contact_sheet(self.out, self._sidecars(), manifest.failures, scratch)
            except BaseException:
                manifest.write(finished=False)
                raise
            manifest.write(finished=True)
        return manifest

    def _predict(
        self, inferencer: EntityInferencer, writer: ResultWriter, manifest: Manifest
    ) -> None:
        options, outputs = self.options, self.outputs
        size = outputs.size if outputs.resize_first else None
        load_options = LoadOptions(options.batch_size, options.workers, outputs.needs_image, size)
        outcomes = inferencer.outcomes(self._missing(manifest), load_options)
        if inferencer.show_progress:
            outcomes = show_progress(outcomes, self._count(), inferencer.progress_label)
        write = partial(self._write, writer)
        # closed, so that on an interruption what has not begun is dropped at once
        written = map_in_background(write, outcomes, options.workers, options.workers)
        with closing(written):
            for image, error in written:
                if error is None:
                    manifest.written += 1
                    continue
                failure = {'name': image.name, 'path': image.path, 'reason': str(error)}
                manifest.failures.append(failure)
                MMLogger.get_current_instance().warning(f'failed: {error}')

    def _write(
        self, writer: ResultWriter, outcome: Outcome
    ) -> tuple[InputImage, Optional[Exception]]:
        """Write the files of one image; an error of one image does not stop the others."""
        image, result = outcome
        if isinstance(result, Exception):
            return image, result
        try:
            writer.write(result, files_of(image, self.outputs))
        except OSError:
            # a full disk or a folder without permission fails for every image
            raise
        except Exception as error:
            return image, error
        return image, None

    def _missing(self, manifest: Manifest) -> Iterator[InputImage]:
        """Go through the images of this shard whose files do not exist."""
        for image in iterate(self.listed, self.options.every, self.options.shard):
            files = files_of(image, self.outputs)
            if self.options.skip_existing and self._is_done(files):
                manifest.skipped += 1
            else:
                yield image

    def _is_done(self, files: dict[str, str]) -> bool:
        if not all((self.out / name).exists() for key, name in files.items() if key != 'cutout'):
            return False
        # without an entity there is no folder of cutouts, but the sidecar lists the format
        sidecar = self.out / files['sidecar']
        return 'cutout' not in files or 'cutout' in json.loads(sidecar.read_text())['files']

    def _count(self) -> int:
        """Count what is to be done; of videos, the frames that they declare."""
        options = self.options
        if options.skip_existing and all(isinstance(source, InputImage) for source in self.listed):
            images = iterate(self.listed, options.every, options.shard)
            return sum(not self._is_done(files_of(image, self.outputs)) for image in images)
        return count(self.listed, options.every, options.shard)

    def _origin(
        self, inferencer: EntityInferencer, weights: Optional[Union[str, Path]]
    ) -> dict[str, Any]:
        part, parts = self.options.shard
        return {
            'config': inferencer.cfg.filename,
            'config_sha256': _digest(inferencer.cfg),
            'weights': None if weights is None else str(weights),
            'weights_sha256': None if weights is None else sha256_of(weights),
            'device': str(inferencer.device),
            'precision': inferencer.precision,
            'outputs': self.outputs.record(),
            'shard': f'{part}/{parts}',
            'every': self.options.every,
            'batch_size': self.options.batch_size,
        }

    def manifest_path(self) -> Path:
        """Name the manifest; shards and runs of a single sequence have separate ones."""
        name = 'manifest'
        if '{sequence}' in self.outputs.layout['sidecar']:
            sequences = {self.outputs.sequence or sequence_of(source) for source in self.listed}
            name += f'-{sequences.pop()}' if len(sequences) == 1 else ''
        if self.options.shard[1] > 1:
            name += '.{}-of-{}'.format(*self.options.shard)
        return self.out / f'{name}.json'

    def _sidecars(self) -> Iterator[dict[str, Any]]:
        """Read the sidecars of this run and of others, as of other shards."""
        pattern = self.outputs.layout['sidecar'].replace('{name}', '**/*')
        for path in sorted(self.out.glob(re.sub(r'{\w+}', '*', pattern))):
            yield json.loads(path.read_text())


def _digest(config: Config) -> str:
    """Digest what decides about predictions: the model and the test pipeline."""
    decisive = [config.model.to_dict(), config.test_dataloader.dataset.pipeline]
    return hashlib.sha256(repr(decisive).encode()).hexdigest()
