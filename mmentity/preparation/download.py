"""Download of EntitySeg from the addresses of its release."""

import re
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
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
# address, name, number of bytes, digest
LIST_LINE = re.compile(r'(\S+)\s+(\S+)(?:\s+(?:([0-9]+)|((?:sha256|md5):\S*)))?')


@dataclass(frozen=True)
class Failure:
    """One file that could not be fetched: its name below the root, its address or '', and why."""

    path: str
    url: str
    reason: str


class Listing(NamedTuple):
    """What to fetch, and files without an address."""

    items: list[Item]
    failures: list[Failure]


@dataclass
class DownloadReport:
    """Number of files that were fetched, of those that were there, and those that are missing."""

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
        write_json(path, asdict(self), indent=1)


def items_of_annotations(root: Union[str, Path], ann_files: Sequence[str] = ()) -> Listing:
    """List the images of annotation files, with the addresses that these give.

    Args:
        root: Folder of EntitySeg.
        ann_files: Annotation files; by default the entity files of the root that
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
    items: dict[str, Item] = {}
    failures: dict[str, Failure] = {}
    for path in paths:
        for image in load_annotations(str(path), ('images',))['images']:
            name = image['file_name']
            try:
                target = join_inside(root / image_folder(False), name)
            except ValueError as error:
                raise ValueError(f'in annotation file {path} {error}') from error
            url = next((image[key] for key in URL_KEYS if image.get(key)), '')
            if url:
                items[target] = Item(url, Path(target), (image['height'], image['width']))
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
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        match = LIST_LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(
                f'line {number} of {list_file} is {line!r}; it must be an address, a file name '
                'and perhaps the number of bytes, sha256:HEX or md5:HEX'
            )
        url, name, num_bytes, digest = match.groups()
        target = Path(join_inside(root, name))
        items.append(Item(url, target, None, int(num_bytes) if num_bytes else None, digest))
    return items


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
                    path = item.path
                    name = path.relative_to(root) if path.is_relative_to(root) else path
                    report.failures.append(Failure(name.as_posix(), item.url, reason))
        except BaseException:
            # an interrupt lets the threads end at their next block
            stop.set()
            raise
    return report
