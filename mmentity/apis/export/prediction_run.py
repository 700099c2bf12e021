"""One run over many images: load, predict, write, resume."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

from mmentity.apis.export.existing import ExistingFiles
from mmentity.apis.export.file_names import check_files, sequence_of
from mmentity.apis.export.formats.features import check_feature_formats
from mmentity.apis.export.layout import fields_of
from mmentity.apis.export.manifest import Manifest, origin_of
from mmentity.apis.export.options import OutputOptions, RunOptions
from mmentity.apis.export.overlays import check_names_are_given
from mmentity.apis.export.whole_run import WholeRunFiles
from mmentity.apis.export.writers import ResultWriter, scratch_folder
from mmentity.apis.export.writing import load_options, write_outcomes
from mmentity.apis.inferencer import EntityInferencer, LoadOptions, Outcome
from mmentity.apis.inputs import (
    InputImage,
    Inputs,
    ListOptions,
    count,
    describe_inputs,
    iterate,
    list_inputs,
)
from mmentity.apis.left_out import LeftOut
from mmentity.apis.naming import EntityNamer
from mmentity.utils.logs import get_logger
from mmentity.utils.progress import show_progress


class PredictionRun:
    """Predict images and write files, one run.

    An image that fails is recorded and does not stop the others, whatever went wrong;
    only an output folder that is full or cannot be written to ends the run. Files appear
    whole or not at all, whenever the process ends.

    Args:
        inputs: As for :class:`EntityInferencer`.
        out: Output folder.
        outputs: What to write for each image.
        options: How to go through the images.
        listing: How inputs are turned into images.

    Attributes:
        listed: Images and videos, in their order.
        left_out: Number of files of input folders that are no input, by suffix.

    Raises:
        FileNotFoundError: If an input does not exist or holds no image.
        ValueError: If two images would be written to the same file, files in ``out``
            are of other images, or ``out`` is a file.

    Examples:
        >>> run = PredictionRun('frames/', 'maps/', PRESETS['maskclustering'].outputs)
        >>> manifest = run(EntityInferencer('mask2former_hornet-l_3x', 'weights.pth'))
        >>> manifest.written, manifest.failures
    """

    def __init__(
        self,
        inputs: Inputs,
        out: Union[str, Path],
        outputs: OutputOptions = OutputOptions(),  # noqa: B008
        options: RunOptions = RunOptions(),  # noqa: B008
        listing: ListOptions = ListOptions(),  # noqa: B008
    ) -> None:
        self.out = Path(out)
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f'{out} is a file; --out names a folder')
        self.outputs = outputs
        self.options = options
        self.left_out = LeftOut()
        self.namer: Optional[EntityNamer] = None
        self.listed = list_inputs(inputs, listing, self.left_out)
        check_files(self.listed, outputs)
        self.existing = ExistingFiles(self.out, outputs, options.skip_existing)
        self.existing.check(self.listed)

    def __call__(
        self,
        inferencer: EntityInferencer,
        weights: Optional[Union[str, Path]] = None,
        namer: Optional[EntityNamer] = None,
    ) -> Manifest:
        """Do the run; return the manifest, in which the file of the weights is named.

        Args:
            inferencer: What predicts.
            weights: File of its weights.
            namer: What names the entities that are written.

        Raises:
            ImportError: If a format needs a package that is not installed.
            ValueError: If files of an earlier run are to be kept and were made
                with other options, config or weights, or features or names are to be written
                without an inferencer that has features or a namer.
            OSError: If files cannot be written, as on a full disk.
        """
        check_feature_formats(self.outputs, inferencer.has_features)
        check_names_are_given(self.outputs.drawn, namer)
        self.namer = namer
        with scratch_folder(self.out) as scratch:
            origin = self._origin(inferencer, weights)
            origin['naming'] = None if namer is None else namer.record()
            manifest = Manifest(self.manifest_path(), scratch, origin)
            if self.options.skip_existing:
                manifest.check_same()
            manifest.write(finished=False)
            writer = ResultWriter(self.out, scratch, self.outputs, namer)
            try:
                self._predict(inferencer, writer, manifest)
                files = WholeRunFiles(self.out, scratch, self.outputs, inferencer.classes)
                files.write(manifest.failures)
            except BaseException:
                manifest.write(finished=False)
                raise
            manifest.write(finished=True)
        warning = manifest.summary.warning(self.outputs)
        if warning:
            get_logger().warning(warning)
        return manifest

    def describe(self) -> str:
        """Say what the run has before it, and which files were left out."""
        to_do, total = self._count(), count(self.listed)
        text = describe_inputs(self.listed, self.left_out)
        return text if to_do == total else f'{text}; {to_do:,} of {total:,} to do'

    def _predict(
        self, inferencer: EntityInferencer, writer: ResultWriter, manifest: Manifest
    ) -> None:
        outcomes = self._outcomes(inferencer, manifest)
        if inferencer.show_progress:
            outcomes = show_progress(outcomes, self._count(), inferencer.progress_label)
        # closed, so that on an interruption what has not begun is dropped at once
        with closing(write_outcomes(outcomes, writer, self.options.workers)) as written:
            for image, done in written:
                if isinstance(done, Exception):
                    reason = manifest.fail(image, done)
                    get_logger().warning(f'failed: {reason}')
                else:
                    manifest.summary.add(done)

    def _outcomes(self, inferencer: EntityInferencer, manifest: Manifest) -> Iterator[Outcome]:
        """Predict what is missing."""
        return inferencer.outcomes(self._missing(manifest), self._load_options())

    def _load_options(self) -> LoadOptions:
        options = load_options(self.options, self.outputs)
        return replace(options, keep_image=options.keep_image or self.namer is not None)

    def _missing(self, manifest: Manifest) -> Iterator[InputImage]:
        """Go through the images of this shard whose files do not exist."""
        for image in iterate(self.listed, self.options.every, self.options.shard):
            to_do = self.existing.to_do(image)
            if to_do is None:
                manifest.skipped += 1
            else:
                yield to_do

    def _count(self) -> int:
        """Count what is to be done; of videos, the frames that they declare."""
        options, done = self.options, self.existing.done
        if not done or any(not isinstance(source, InputImage) for source in self.listed):
            return count(self.listed, options.every, options.shard)
        images = iterate(self.listed, options.every, options.shard)
        return sum(not self.existing.has(image) for image in images)

    def _origin(
        self, inferencer: EntityInferencer, weights: Optional[Union[str, Path]]
    ) -> dict[str, Any]:
        part, parts = self.options.shard
        return {
            **origin_of(inferencer, weights, self.outputs),
            'shard': f'{part}/{parts}',
            'every': self.options.every,
            'batch_size': self.options.batch_size,
        }

    def manifest_path(self) -> Path:
        """Name the manifest; shards and runs of a single sequence have separate ones."""
        name, fields = 'manifest', set(fields_of(self.outputs.patterns['sidecar']))
        if not fields.isdisjoint({'sequence', 'sequence_folder'}):
            sequences = {self.outputs.sequence or sequence_of(source) for source in self.listed}
            name += f'-{sequences.pop()}' if len(sequences) == 1 else ''
        if self.options.shard[1] > 1:
            name += '.{}-of-{}'.format(*self.options.shard)
        return self.out / f'{name}.json'
