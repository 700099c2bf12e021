"""Download of EntitySeg from the addresses of its release."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional, Union
from urllib.parse import urlsplit

from terminaltables import AsciiTable

from mmentity.datasets.base import load_annotations
from mmentity.datasets.layout import entity_files, image_folder
from mmentity.datasets.paths import join_inside
from mmentity.preparation.fetching import Fetcher, FetchError, FetchOptions, Item, fault_of
from mmentity.utils.files import write_json
from mmentity.utils.progress import show_progress

# the release's own key, then those of COCO
URL_KEYS = ('url_image', 'coco_url', 'flickr_url')


class Failure(NamedTuple):
    """One file that could not be fetched.

    Attributes:
        path: Name below the root.
        url: Its address, or '' where none is known.
        reason: Why.
    """

    path: str
    url: str
    reason: str


class Listing(NamedTuple):
    """What to fetch, and files without an address."""

    items: list[Item]
    failures: list[Failure]


@dataclass
class DownloadReport:
    """What was fetched.

    Attributes:
        fetched: Number of files that were fetched.
        there: Number of files that existed already.
        failures: One :class:`Failure` for each file that is missing.
    """

    fetched: int = 0
    there: int = 0
    failures: list[Failure] = field(default_factory=list)

    def table(self) -> str:
        """Format the failures by reason and server."""
        counts = Counter((f.reason, urlsplit(f.url).netloc or '-') for f in self.failures)
        rows = [[str(count), *key] for key, count in counts.most_common(30)]
        return AsciiTable([['files', 'reason', 'server'], *rows]).table

    def write(self, path: Union[str, Path]) -> None:
        """Write everything as json."""
        failures = [failure._asdict() for failure in self.failures]
        write_json(
            path, {'fetched': self.fetched, 'there': self.there, 'failures': failures}, indent=1
        )


def items_of_annotations(root: Union[str, Path], ann_files: Sequence[str] = ()) -> Listing:
    """List the images of annotation files, with the addresses that these give.

    Args:
        root: Folder of EntitySeg.
        ann_files: Annotation files; by default all entity files of the root that
            belong to the original images.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: If an annotation file is damaged, or a file name leads out of
            the folder of images.
    """
    root = Path(root)
    paths = [Path(path) for path in ann_files] or [file.path for file in entity_files(root)]
    if not paths:
        raise FileNotFoundError(
            f'{root}/annotations/entity_segmentation holds no annotation file; get those of the '
            'release first, they hold the addresses of the images'
        )
    items: dict[Path, Item] = {}
    failures: dict[Path, Failure] = {}
    for path in paths:
        for image in load_annotations(str(path), ('images',))['images']:
            name = image['file_name']
            try:
                target = _target(root / image_folder(False), name)
            except ValueError as error:
                raise ValueError(f'in annotation file {path} {error}') from error
            url = next((image[key] for key in URL_KEYS if image.get(key)), '')
            if url:
                items[target] = Item(url, target, (image['height'], image['width']))
            else:
                source = image.get('url_dataset') or image.get('img_source') or 'unknown'
                failures[target] = Failure(name, '', f'no address; it is of the data set {source}')
    missing = [failure for target, failure in failures.items() if target not in items]
    return Listing(list(items.values()), missing)


def items_of_list(root: Union[str, Path], list_file: Union[str, Path]) -> list[Item]:
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
        check = words[2] if len(words) == 3 else ''
        is_digest = check.startswith(('sha256:', 'md5:'))
        if len(words) not in (2, 3) or not (is_digest or check.isdigit() or not check):
            raise ValueError(
                f'line {number} of {list_file} is {line!r}; it must be an address, a file name '
                'and perhaps the number of bytes, sha256:HEX or md5:HEX'
            )
        num_bytes = int(check) if check.isdigit() else None
        target = _target(Path(root), words[1])
        items.append(Item(words[0], target, None, num_bytes, check if is_digest else None))
    return items


def default_items(
    root: Union[str, Path], list_file: Optional[str], ann_files: Sequence[str]
) -> Listing:
    """List the items of a list if there is one, of annotation files otherwise."""
    if list_file:
        return Listing(items_of_list(root, list_file), [])
    return items_of_annotations(root, ann_files)


def download(
    root: Union[str, Path],
    items: Iterable[Item],
    options: FetchOptions = FetchOptions(),  # noqa: B008
    workers: int = 16,
) -> DownloadReport:
    """Fetch files in parallel; what exists and is right is not fetched again.

    Args:
        root: Folder below which the report names files.
        items: What to fetch.
        options: How long to try.
        workers: Files that are fetched at a time.
    """
    items, report = list(items), DownloadReport()
    stop, local = threading.Event(), threading.local()

    def start_thread() -> None:
        local.fetcher = Fetcher(options, stop)

    def work(item: Item) -> Optional[str]:
        """Return why a file is missing, '' where it was fetched, None where it existed."""
        if stop.is_set():
            return 'stopped'
        if item.path.is_file() and not fault_of(item.path, item):
            return None
        try:
            local.fetcher.fetch(item)
        except (FetchError, OSError) as error:
            return str(error)
        return ''

    with ThreadPoolExecutor(workers, initializer=start_thread) as pool:
        try:
            results = show_progress(pool.map(work, items), len(items), 'downloads')
            for item, reason in zip(items, results):
                report.there += reason is None
                report.fetched += reason == ''
                if reason:
                    report.failures.append(Failure(_below(item.path, root), item.url, reason))
        except BaseException:
            # an interrupt lets the threads end at their next block
            stop.set()
            raise
    return report


def _target(folder: Path, name: str) -> Path:
    """Name the file to write; refuses a name that leads out of the folder."""
    return Path(join_inside(folder, name))


def _below(path: Path, root: Union[str, Path]) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
