"""Download of EntitySeg from the addresses of its release."""

import json
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional
from urllib.parse import urlsplit

import requests
from terminaltables import AsciiTable

from mmentity.datasets.base import load_annotations
from mmentity.datasets.paths import check_links, join_inside
from mmentity.preparation.fetching import FetchError, FetchOptions, Item, fault_of, fetch
from mmentity.preparation.layout import original_entity_files
from mmentity.preparation.parallel import with_progress
from mmentity.utils.files import whole_file

# the release's own key, then those of COCO
URL_KEYS = ('url_image', 'coco_url', 'flickr_url')


class Failure(NamedTuple):
    """One file that could not be had.

    Attributes:
        path: Name below the root.
        url: Its address, or '' where none is known.
        reason: Why.
    """

    path: str
    url: str
    reason: str


@dataclass
class DownloadReport:
    """What was fetched.

    Attributes:
        fetched: Number of files that were fetched.
        there: Number of files that were there already.
        failures: One :class:`Failure` for each file that is missing.
    """

    fetched: int = 0
    there: int = 0
    failures: list = field(default_factory=list)

    def table(self) -> str:
        """Draw the failures by reason and server."""
        counts = Counter((f.reason, urlsplit(f.url).netloc or '-') for f in self.failures)
        rows = [[count, *key] for key, count in counts.most_common(30)]
        return AsciiTable([['files', 'reason', 'server'], *rows]).table

    def write(self, path: Path) -> None:
        """Write everything as json."""
        content = {**asdict(self), 'failures': [f._asdict() for f in self.failures]}
        with whole_file(path) as partial:
            partial.write_text(json.dumps(content, indent=1))


def items_of_annotations(root: str, ann_files: Sequence[str] = ()) -> tuple:
    """List the pictures of annotation files, with the addresses that these give.

    Args:
        root: Folder of EntitySeg.
        ann_files: Annotation files; by default all entity files of the root that
            belong to the original pictures.

    Returns:
        List of :class:`Item`, and list of :class:`Failure` for pictures without
        an address.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: If an annotation file is damaged, or a file name leads out of
            the folder of pictures.
    """
    root = Path(root)
    paths = [Path(path) for path in ann_files] or [
        file.path for file in original_entity_files(root)
    ]
    if not paths:
        raise FileNotFoundError(
            f'{root}/annotations/entity_segmentation holds no annotation file; get those of the '
            'release first, they hold the addresses of the pictures'
        )
    items, failures = {}, {}
    for path in paths:
        for image in load_annotations(str(path), ('images',))['images']:
            name = image['file_name']
            try:
                target = _target(root / 'images', name)
            except ValueError as error:
                raise ValueError(f'in annotation file {path} {error}') from error
            url = next((image[key] for key in URL_KEYS if image.get(key)), '')
            if url:
                items[target] = Item(url, target, (image['height'], image['width']))
            else:
                source = image.get('url_dataset') or image.get('img_source') or 'unknown'
                failures[target] = Failure(name, '', f'no address; it is of the data set {source}')
    return list(items.values()), [f for target, f in failures.items() if target not in items]


def items_of_list(root: str, list_file: str) -> list:
    """Read a list of addresses.

    Each line is an address, the name of the file below the root, and, where
    known, its number of bytes or its checksum (``sha256:...`` or ``md5:...``).

    Raises:
        FileNotFoundError: If there is no such list.
        ValueError: If a line is of another form.

    Examples:
        >>> items_of_list('data/entityseg', 'annotation_urls.txt')
    """
    if not Path(list_file).is_file():
        raise FileNotFoundError(f'list {list_file} does not exist')
    items = []
    lines = Path(list_file).read_text(encoding='utf-8').splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith('#'):
            continue
        checks = words[2] if len(words) == 3 else ''
        known = checks.startswith(('sha256:', 'md5:')) or checks.isdigit() or not checks
        if len(words) not in (2, 3) or not known:
            raise ValueError(
                f'line {number} of {list_file} is {line!r}; it must be an address, a file name '
                'and perhaps the number of bytes, sha256:HEX or md5:HEX'
            )
        items.append(
            Item(
                words[0],
                _target(Path(root), words[1]),
                num_bytes=int(checks) if checks.isdigit() else None,
                digest=checks if ':' in checks else None,
            )
        )
    return items


def download(
    root: str,
    items: Iterable[Item],
    options: FetchOptions = FetchOptions(),  # noqa: B008
    workers: int = 16,
) -> DownloadReport:
    """Fetch files in parallel; what is there and right is not fetched again.

    Args:
        root: Folder below which the report names files.
        items: What to fetch.
        options: Patience with servers.
        workers: Files that are fetched at a time.

    Returns:
        :class:`DownloadReport`.
    """
    items, report = list(items), DownloadReport()
    stop, local = threading.Event(), threading.local()

    def work(item: Item) -> tuple:
        if stop.is_set():
            return item, False, 'stopped'
        if item.path.is_file() and not fault_of(item.path, item):
            return item, False, ''
        if not hasattr(local, 'session'):
            local.session = requests.Session()
        try:
            fetch(item, local.session, options, stop)
        except (FetchError, OSError) as error:
            return item, False, str(error)
        return item, True, ''

    with ThreadPoolExecutor(workers) as pool:
        try:
            for item, fetched, reason in with_progress(
                pool.map(work, items), len(items), 'download'
            ):
                report.fetched += fetched
                report.there += not fetched and not reason
                if reason:
                    name = _below(item.path, Path(root))
                    report.failures.append(Failure(name, item.url, reason))
        except BaseException:
            # an interrupt lets the threads end at their next block
            stop.set()
            raise
    return report


def _target(folder: Path, name: str) -> Path:
    """Where a file goes; refuses what would be written outside of the folder."""
    path = Path(join_inside(folder, name))
    check_links(folder, path)
    return path


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def default_items(root: str, list_file: Optional[str], ann_files: Sequence[str]) -> tuple:
    """Items of a list if there is one, of annotation files otherwise."""
    if list_file:
        return items_of_list(root, list_file), []
    return items_of_annotations(root, ann_files)
