"""The files of all images in an output folder, written when a run has ended."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from mmentity.apis.export.contact_sheet import write_contact_sheet
from mmentity.apis.export.formats import DATASETS
from mmentity.apis.export.formats.images import find_images
from mmentity.apis.export.layout import WHOLE_RUN_FILES, glob_of
from mmentity.apis.export.options import OutputOptions
from mmentity.utils.files import lock_folder


class WholeRunFiles:
    """The contact sheet, and the data sets of those formats that have one file for all images.

    They show what has a sidecar in the output folder, also of earlier runs and of other
    shards, of which the last one to end writes them complete.

    Args:
        out: Output folder.
        scratch: Folder in which files are written at first.
        options: What is written.
        classes: Names of classes by label.
    """

    def __init__(
        self, out: Path, scratch: Path, options: OutputOptions, classes: Sequence[str]
    ) -> None:
        self.out, self.scratch, self.options, self.classes = out, scratch, options, classes

    def write(self, failures: Sequence[dict[str, Any]]) -> None:
        """Write them.

        Args:
            failures: Images that failed, for the contact sheet.

        Raises:
            ValueError: If the file of an image is gone, damaged, or of a model of other classes.
        """
        # so that the last shard that reads is the last one that writes
        with lock_folder(self.out):
            if self.options.sheet:
                write_contact_sheet(self.out, self._records(), failures, self.scratch)
            for key in self.options.formats:
                if key in DATASETS:
                    images = find_images(self.out, self._sidecars(), key, len(self.classes))
                    path = self.out / WHOLE_RUN_FILES[key][0]
                    DATASETS[key](images, self.classes, path, self.scratch)

    def _sidecars(self) -> list[Path]:
        return sorted(self.out.glob(glob_of(self.options.patterns['sidecar'])))

    def _records(self) -> Iterator[dict[str, Any]]:
        for path in self._sidecars():
            record = orjson.loads(path.read_bytes())
            if isinstance(record, dict) and 'files' in record:
                yield record
