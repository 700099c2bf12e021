"""Where files are written before they get their names."""

import contextlib
import os
import shutil
import socket
from pathlib import Path


class ScratchFolder:
    """Hidden folder in the output folder, one for each process.

    So other shards are left alone; what a killed process left is removed by the
    next one on the same machine.

    Args:
        out: Output folder.
    """

    def __init__(self, out: Path) -> None:
        self.parent = Path(out) / '.partial'
        self.host = socket.gethostname()
        self.path = self.parent / f'{self.host}-{os.getpid()}'

    def __enter__(self) -> Path:
        """Make the folder and return it."""
        for other in self.parent.glob(f'{self.host}-*'):
            if not _is_alive(int(other.name.rpartition('-')[2])):
                shutil.rmtree(other, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def __exit__(self, *exception: object) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        # it is not empty while another shard is at work
        with contextlib.suppress(OSError):
            self.parent.rmdir()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
