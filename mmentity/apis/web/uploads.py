"""Files that browsers send, of a limited size and for a limited time."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

BYTES_PER_MB = 10**6


class UploadTooLargeError(ValueError):
    """A file is larger than the page takes."""


def check_upload_size(size: int, limit_mb: float) -> None:
    """Check a size in bytes, or what has come so far of it.

    Raises:
        UploadTooLargeError: If it is above the limit.
    """
    if size > limit_mb * BYTES_PER_MB:
        raise UploadTooLargeError(
            f'the file is larger than {limit_mb:g} MB, the limit of this page; '
            '"mmentity web --max-upload-mb" raises it'
        )


async def receive_upload(chunks: AsyncIterator[bytes], folder: Path, limit_mb: float) -> Path:
    """Write what comes to a new file, of which nothing stays if it does not come whole.

    Args:
        chunks: Content of the file.
        folder: Where to write it, under a name of no meaning.
        limit_mb: Largest size, MB of 10**6 bytes.

    Raises:
        UploadTooLargeError: If more comes.
    """
    path, size = folder / secrets.token_hex(8), 0
    try:
        with path.open('wb') as file:
            async for chunk in chunks:
                size += len(chunk)
                check_upload_size(size, limit_mb)
                file.write(chunk)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
