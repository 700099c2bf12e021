"""What the id maps of a folder hold, kept beside them so that it is read once."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional

import orjson
from PIL import Image

from mmentity.datasets.errors import SampleError
from mmentity.datasets.rules import decoding
from mmentity.structures.id_map import entity_ids, read_id_map
from mmentity.utils.files import cache_folder, whole_file

try:
    import fcntl
except ImportError:  # not on Windows: every process reads the maps itself
    fcntl = None  # type: ignore[assignment]

VERSION = 1
# time of modification, bytes, height, width, number of entities
UNREAD: list[Any] = [None] * 5


class MapFacts(NamedTuple):
    """What is known of one id map.

    Attributes:
        height: Height in px; None where the map cannot be read.
        width: Width in px, likewise.
        num_entities: Number of entities; None where it was not asked for either.
    """

    height: Optional[int]
    width: Optional[int]
    num_entities: Optional[int]


UNKNOWN = MapFacts(None, None, None)


class MapIndex:
    """Sizes and numbers of entities of the id maps of one folder.

    They are kept in a file beside the folder, or in the cache folder of the user
    (``XDG_CACHE_HOME``, by default ``~/.cache``) where that is read-only. A map whose
    size in bytes or time of modification has changed is read again. Of several
    processes on one machine, such as the ranks of a training, one reads the maps and
    the others wait for it.

    Args:
        folder: Folder of the maps.
        map_kind: As in :class:`mmentity.datasets.EntityFolderDataset`.
        no_entity_ids: Likewise.
    """

    def __init__(self, folder: Path, map_kind: str, no_entity_ids: Sequence[int]) -> None:
        self.folder = folder
        self.map_kind = map_kind
        self.no_entity_ids = tuple(no_entity_ids)
        place = os.path.realpath(folder)
        key = _digest(map_kind, *sorted(self.no_entity_ids))
        beside = Path(place).parent / f'.{Path(place).name}.mmentity-{key}.json'
        self.files = (beside, cache_folder() / f'maps-{_digest(place, key)}.json')

    def facts(self, names: Sequence[str], count: bool) -> list[MapFacts]:
        """Look up maps, and read those that are new or have changed.

        Args:
            names: Names of the maps below the folder.
            count: Whether numbers of entities are needed, for which maps must be decoded.
        """
        with ThreadPoolExecutor() as pool:
            stamps = list(pool.map(self._stamp, names))
            facts = self._known(names, stamps, count)
            if None in facts:
                with self._one_process():
                    facts = self._known(names, stamps, count)
                    wanted = [name for name, fact in zip(names, facts) if fact is None]
                    read = iter(list(pool.map(lambda name: self._read(name, count), wanted)))
                    facts = [fact or next(read) for fact in facts]
                    self._save(names, stamps, facts)
        return [fact or UNKNOWN for fact in facts]

    def _stamp(self, name: str) -> list[int]:
        stat = os.stat(self.folder / name)
        return [stat.st_mtime_ns, stat.st_size]

    def _known(self, names: Sequence[str], stamps: Sequence[list[int]], count: bool) -> list[Any]:
        """Facts that the file has of maps as they are now; None for the others."""
        rows = self._rows()
        known: list[Optional[MapFacts]] = []
        for name, stamp in zip(names, stamps):
            *read_at, height, width, number = rows.get(name, UNREAD)
            fits = read_at == stamp and not (count and number is None)
            known.append(MapFacts(height, width, number) if fits else None)
        return known

    def _rows(self) -> dict[str, list]:
        for path in self.files:
            try:
                content = orjson.loads(path.read_bytes())
                if content['version'] == VERSION:
                    return content['maps']
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return {}

    def _save(
        self, names: Sequence[str], stamps: Sequence[list[int]], facts: Sequence[Optional[MapFacts]]
    ) -> None:
        """Write the file, if there is a place for it; others keep their rows in it."""
        rows = self._rows()
        for name, stamp, fact in zip(names, stamps, facts):
            if fact is not None and fact.height is not None:
                rows[name] = [*stamp, *fact]
        for path in self.files:
            try:
                with whole_file(path) as partial:
                    partial.write_text(json.dumps({'version': VERSION, 'maps': rows}))
                return
            except OSError:
                continue

    def _read(self, name: str, count: bool) -> MapFacts:
        path = self.folder / name
        try:
            with decoding('bad-map', f'{path} cannot be read as ids'), Image.open(path) as image:
                if not count:
                    return MapFacts(image.height, image.width, None)
                values = read_id_map(image, self.map_kind)
        except SampleError:
            # the error is reported when the sample is loaded
            return UNKNOWN
        height, width = values.shape
        return MapFacts(height, width, len(entity_ids(values, self.no_entity_ids)))

    @contextmanager
    def _one_process(self) -> Iterator[None]:
        """Let one process of the machine at a time read the maps."""
        name = f'mmentity-{_digest(*map(str, self.files))}.lock'
        try:
            lock = (Path(tempfile.gettempdir()) / name).open('w')
        except OSError:
            yield
            return
        with lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
