"""From predicted images to their files, one failing by itself: what all runs have in common."""

import errno
from collections.abc import Generator, Iterable
from functools import partial
from typing import Any, Union

from mmentity.apis.export.existing import source_of
from mmentity.apis.export.file_names import files_of
from mmentity.apis.export.options import OutputOptions, RunOptions
from mmentity.apis.export.summary import Counts
from mmentity.apis.export.writers import ResultWriter
from mmentity.apis.inferencer import LoadOptions, Outcome
from mmentity.apis.inputs import InputImage
from mmentity.apis.threads import map_in_background
from mmentity.datasets.errors import SampleError

# of an output that is full or cannot be written to, which fails for every image
OUTPUT_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO
}  # fmt: skip

Written = tuple[InputImage, Union[Counts, Exception]]


def load_options(options: RunOptions, outputs: OutputOptions) -> LoadOptions:
    """Say how images are loaded for what is written of them."""
    return LoadOptions(
        options.batch_size,
        options.workers,
        outputs.needs_image,
        outputs.network_size,
        outputs.max_side,
    )


def write_outcomes(
    outcomes: Iterable[Outcome], writer: ResultWriter, workers: int
) -> Generator[Written, None, None]:
    """Write the files of images, in threads while the network computes the next ones.

    Args:
        outcomes: What :meth:`EntityInferencer.outcomes` gives; a third value is a result that
            is filtered and numbered already.
        writer: Writer of the output folder.
        workers: Threads; 0 writes while the network waits.

    Yields:
        Each image, in their order, with what was written or why it failed.

    Raises:
        OSError: If the output folder is full or cannot be written to.
    """
    return map_in_background(partial(_write, writer), outcomes, workers, workers)


def _write(writer: ResultWriter, outcome: Any) -> Written:
    """Write the files of one image; an error of one image does not stop the others."""
    # the last value is the result, or that result numbered already
    image, result, content = outcome[0], outcome[1], outcome[-1]
    if isinstance(result, Exception):
        return image, result
    try:
        number = writer.write(content, files_of(image, writer.options), source_of(image))
    except OSError as error:
        if error.errno in OUTPUT_ERRORS:
            raise
        return image, _cannot_write(image, error)
    except Exception as error:
        return image, error
    return image, Counts(len(result), number, float(result.scores.max(initial=0)))


def _cannot_write(image: InputImage, error: OSError) -> SampleError:
    """Name the image and its file; not the name under which the file is at first."""
    file = error.filename2 or error.filename
    reason = f'{error.strerror}: {file}' if file else str(error)
    sample_error = SampleError(f'the files of {image.place} cannot be written ({reason})', 'output')
    sample_error.__cause__ = error
    return sample_error
