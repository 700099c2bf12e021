"""One run over many pictures: read, predict, write, resume."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Optional, Union

from mmengine.config import Config
from mmengine.logging import MMLogger

from mmentity.apis.export.contact_sheet import write_contact_sheet
from mmentity.apis.export.layout import Scratch, check_targets, files_of, sequence_of
from mmentity.apis.export.manifest import Manifest
from mmentity.apis.export.options import OutputOptions, RunOptions
from mmentity.apis.export.writers import PictureWriter
from mmentity.apis.inferencer import EntityInferencer, Reading
from mmentity.apis.inputs import Inputs, Picture, count, iterate, list_inputs
from mmentity.apis.threads import Background
from mmentity.utils.files import sha256_of
from mmentity.utils.progress import show_progress


class PredictionRun:
    """Predict pictures and write files, one run.

    A picture that fails is recorded and does not stop the others; files appear
    whole or not at all, whenever the process ends.

    Args:
        inputs: As for :class:`EntityInferencer`.
        out: Output folder.
        outputs: What to write for each picture.
        options: How to go through the pictures.

    Raises:
        FileNotFoundError: If an input does not exist or holds no picture.
        ValueError: If two pictures would be written to the same file, or ``out``
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
        check_targets(self.listed, outputs)
        self.outputs = outputs
        self.options = options

    def __call__(
        self, inferencer: EntityInferencer, weights: Optional[Union[str, Path]] = None
    ) -> Manifest:
        """Do the run.

        Args:
            inferencer: Model to predict with.
            weights: File of its weights, for the manifest.

        Returns:
            The manifest, which is also written.

        Raises:
            ValueError: If files of an earlier run are to be kept and were made
                with other options, config or weights.
            OSError: If files cannot be written, as on a full disk.
        """
        with Scratch(self.out) as scratch:
            manifest = Manifest(self._manifest_path(), scratch, self._what(inferencer, weights))
            if self.options.skip_existing:
                manifest.check_same()
            manifest.write(finished=False)
            try:
                self._predict(inferencer, PictureWriter(self.out, scratch, self.outputs), manifest)
                if self.outputs.sheet:
                    write_contact_sheet(self.out, self._sidecars(), manifest.failures, scratch)
            except BaseException:
                manifest.write(finished=False)
                raise
            manifest.write(finished=True)
        return manifest

    def _predict(
        self, inferencer: EntityInferencer, writer: PictureWriter, manifest: Manifest
    ) -> None:
        options, outputs = self.options, self.outputs
        reading = Reading(
            options.batch_size,
            options.workers,
            keep_image=outputs.sheet or not {'overlay', 'cutout'}.isdisjoint(outputs.formats),
            size=outputs.size if outputs.resize_first else None,
        )
        outcomes = inferencer.outcomes(self._missing(manifest), reading)
        if inferencer.show_progress:
            outcomes = show_progress(outcomes, self._count())
        background = Background(options.workers, pending=options.workers)
        try:
            for picture, outcome in outcomes:
                if isinstance(outcome, Exception):
                    self._fail(manifest, picture, outcome)
                    continue
                done = background.submit(picture, writer.write, outcome, files_of(picture, outputs))
                self._record(manifest, done)
            self._record(manifest, background.finish())
        finally:
            background.close()

    def _missing(self, manifest: Manifest) -> Iterator[Picture]:
        """Go through the pictures of this shard whose files are not there."""
        for picture in iterate(self.listed, self.options.every, self.options.shard):
            files = files_of(picture, self.outputs)
            if self.options.skip_existing and self._is_done(files):
                manifest.skipped += 1
            else:
                yield picture

    def _is_done(self, files: dict) -> bool:
        if not all((self.out / name).exists() for key, name in files.items() if key != 'cutout'):
            return False
        # without an entity there is no folder of cut-outs, so the sidecar has to tell
        sidecar = self.out / files['sidecar']
        return 'cutout' not in files or 'cutout' in json.loads(sidecar.read_text())['files']

    def _record(self, manifest: Manifest, done: list) -> None:
        for picture, future in done:
            error = future.exception()
            if isinstance(error, OSError):
                # a full disk or a folder without permission fails for every picture
                raise error
            if error is None:
                manifest.written += 1
            else:
                self._fail(manifest, picture, error)

    @staticmethod
    def _fail(manifest: Manifest, picture: Picture, error: Exception) -> None:
        manifest.fail(picture.name, picture.path, str(error))
        MMLogger.get_current_instance().warning(f'failed: {error}')

    def _count(self) -> int:
        """Count what is to be done; of videos, the frames that they declare."""
        options = self.options
        if options.skip_existing and all(isinstance(source, Picture) for source in self.listed):
            pictures = iterate(self.listed, options.every, options.shard)
            return sum(not self._is_done(files_of(picture, self.outputs)) for picture in pictures)
        return count(self.listed, options.every, options.shard)

    def _what(self, inferencer: EntityInferencer, weights: Optional[Union[str, Path]]) -> dict:
        part, parts = self.options.shard
        return {
            'config': inferencer.cfg.filename,
            'config_sha256': _digest(inferencer.cfg),
            'weights': None if weights is None else str(weights),
            'weights_sha256': None if weights is None else sha256_of(weights),
            'device': str(next(inferencer.model.parameters()).device),
            'outputs': self.outputs.record(),
            'shard': f'{part}/{parts}',
            'every': self.options.every,
            'batch_size': self.options.batch_size,
        }

    def _manifest_path(self) -> Path:
        """Name the manifest: shards, and runs of single sequences, have their own."""
        name = 'manifest'
        if '{sequence}' in self.outputs.layout['sidecar']:
            sequences = {self.outputs.sequence or _sequence(source) for source in self.listed}
            name += f'-{sequences.pop()}' if len(sequences) == 1 else ''
        if self.options.shard[1] > 1:
            name += '.{}-of-{}'.format(*self.options.shard)
        return self.out / f'{name}.json'

    def _sidecars(self) -> list:
        """Name the sidecars in the output folder, those of other shards too."""
        pattern = self.outputs.layout['sidecar'].replace('{name}', '**/*')
        return sorted(self.out.glob(re.sub(r'{\w+}', '*', pattern)))


def _sequence(source: object) -> str:
    return sequence_of(Picture(source.name, source.path))


def _digest(config: Config) -> str:
    """Digest what decides about predictions: the model and the test pipeline."""
    decisive = [config.model.to_dict(), config.test_dataloader.dataset.pipeline]
    return hashlib.sha256(repr(decisive).encode()).hexdigest()
