"""What the folders of an input hold besides images and videos."""

from collections import Counter

from mmentity.apis.sources import FRAME_SUFFIXES
from mmentity.datasets.images import HEIF_SUFFIXES

FOLDERS = 'folders'


class LeftOut(Counter[str]):
    """Number of files that are no input, by suffix, and of folders that are not gone into."""

    def describe(self) -> str:
        """Say what was left out and which options take it, or nothing."""
        if not self:
            return ''
        suffixes = [(suffix, n) for suffix, n in self.most_common() if suffix != FOLDERS]
        files, folders = sum(n for _, n in suffixes), self[FOLDERS]
        counts = [numbered(n, what) for what, n in (('file', files), ('folder', folders)) if n]
        listed = ': ' + ', '.join(f'{n:,} {suffix}' for suffix, n in suffixes) if suffixes else ''
        hints = [
            hint
            for hint, applies in (
                ('--recursive', folders),
                ('--frames', any(suffix in FRAME_SUFFIXES for suffix, _ in suffixes)),
                ('pip install "mmentity[heif]"', any(s in HEIF_SUFFIXES for s, _ in suffixes)),
            )
            if applies
        ]
        more = f' ({", ".join(hints)} for more)' if hints else ''
        return f'{" and ".join(counts)} left out{listed}{more}'


def numbered(number: int, what: str) -> str:
    """Write a number of things: ``1 image``, ``2 files of frames``."""
    first, *rest = what.split(' ')
    return ' '.join([f'{number:,}', first if number == 1 else f'{first}s', *rest])
