"""One file from the network: retried, resumed, verified, and whole or not there.

urllib3 retries requests that get no answer or a busy one; this module resumes
downloads that break off.
"""

import random
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Optional

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from mmentity.datasets.errors import SampleError
from mmentity.datasets.geometry import Size
from mmentity.datasets.rules import probe_image
from mmentity.utils.files import digest_of

# a connection that breaks loses at most what it had of the next block
BLOCK = 1 << 13
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
BROKEN_OFF = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
CONTENT_RANGE = re.compile(r'bytes (\d+)-\d+/(\d+|\*)')


class Item(NamedTuple):
    """One file to fetch: its address, where it goes, and what is known of it."""

    url: str
    path: Path
    image_size: Optional[Size] = None  # px
    num_bytes: Optional[int] = None
    digest: Optional[str] = None  # 'sha256:...' or 'md5:...'


@dataclass(frozen=True)
class FetchOptions:
    """How long to try.

    Attributes:
        retries: Further attempts after a failure that may be temporary.
        timeout: Seconds without a byte after which an attempt ends.
        attempt_seconds: Seconds after which an attempt ends in any case; the
            next one resumes it.
        backoff: Seconds before the first further attempt, doubled each time.
        longest_wait: Most seconds to wait, also where a server asks for more.
    """

    retries: int = 5
    timeout: float = 30.0
    attempt_seconds: float = 600.0
    backoff: float = 1.0
    longest_wait: float = 120.0


class FetchError(Exception):
    """A file cannot be fetched; the message says why."""


class _BrokenOffError(Exception):
    """A download ended before the end of the file, and may be resumed."""


class Fetcher:
    """Fetches one file at a time; each thread needs its own.

    What has arrived stays beside the file as ``NAME.part``, and the next attempt
    or run asks for the rest, if the server tells that it still has the same file.
    Another thread sets ``stop`` to make it give up.
    """

    def __init__(self, options: FetchOptions, stop: threading.Event) -> None:
        self.options = options
        self.stop = stop

        class StoppableRetry(Retry):
            def sleep(self, response: Optional[BaseHTTPResponse] = None) -> None:
                try:
                    asked = self.get_retry_after(response) if response else None
                except InvalidHeader:
                    asked = None
                _wait(asked, len(self.history) - 1, options, stop)

        retries = StoppableRetry(options.retries, status_forcelist=TRANSIENT, raise_on_status=False)
        self.session = requests.Session()
        for scheme in ('http://', 'https://'):
            self.session.mount(scheme, HTTPAdapter(max_retries=retries))

    def fetch(self, item: Item) -> None:
        """Fetch one file; it appears under its name only when it is whole and verified.

        Raises:
            FetchError: If it cannot be fetched.
        """
        part = item.path.with_name(f'{item.path.name}.part')
        part.parent.mkdir(parents=True, exist_ok=True)
        last = self.options.retries
        for attempt in range(last + 1):
            resumed = part.is_file()
            try:
                self._fetch_rest(item.url, part)
            except _BrokenOffError as error:
                if attempt == last:
                    raise FetchError(f'{error} ({attempt + 1} attempts)') from error
                _wait(None, attempt, self.options, self.stop)
                continue
            fault = fault_of(part, item)
            if not fault:
                _validator_file(part).unlink(missing_ok=True)
                part.replace(item.path)
                return
            _discard(part)
            # a file that arrived in one piece would come again as it is
            if not resumed or attempt == last:
                raise FetchError(fault)

    def _fetch_rest(self, url: str, part: Path) -> None:
        """Fetch what the partial file lacks, or all of it if the server has another file now."""
        headers = {'Accept-Encoding': 'identity'}
        # without a validator the rest may be that of another file
        if not _validator_file(part).is_file():
            _discard(part)
        have = part.stat().st_size if part.is_file() else 0
        if have:
            headers['Range'] = f'bytes={have}-'
            headers['If-Range'] = _validator_file(part).read_text()
        answered = False
        try:
            with self.session.get(
                url, headers=headers, stream=True, timeout=self.options.timeout
            ) as response:
                answered = True
                total = _start(response, part, have)
                self._receive(response, part)
        except BROKEN_OFF as error:
            if answered:
                raise _BrokenOffError(_reason(error)) from error
            attempts = self.options.retries + 1
            raise FetchError(f'{_reason(error)} ({attempts} attempts)') from error
        except (requests.RequestException, ValueError) as error:
            raise FetchError(f'{type(error).__name__}: {error}') from error
        if total is not None and part.stat().st_size != total:
            if part.stat().st_size > total:
                _discard(part)
            raise _BrokenOffError(f'the connection broke off before {total} bytes')

    def _receive(self, response: requests.Response, part: Path) -> None:
        deadline = time.monotonic() + self.options.attempt_seconds
        # unbuffered, so that a killed run keeps what has arrived
        with part.open('ab', buffering=0) as stream:
            for block in response.iter_content(BLOCK):
                stream.write(block)
                if self.stop.is_set():
                    raise FetchError('stopped')
                if time.monotonic() > deadline:
                    raise _BrokenOffError('the server is too slow')


def fault_of(path: Path, item: Item) -> str:
    """Tell why a file is not the one that is wanted, or ''."""
    num_bytes = path.stat().st_size
    if item.num_bytes not in (None, num_bytes):
        return f'has {num_bytes} bytes, not {item.num_bytes}'
    if item.digest is not None:
        algorithm, _, digest = item.digest.partition(':')
        if digest_of(path, algorithm) != digest.lower():
            return f'has another {algorithm} checksum than the list'
    if item.image_size is not None:
        try:
            size = probe_image(str(path))
        except SampleError:
            return 'is not a complete image'
        if size != tuple(item.image_size):
            height, width = item.image_size
            return f'is {size[0]}x{size[1]} (height x width), its entry says {height}x{width}'
    return ''


def _start(response: requests.Response, part: Path, have: int) -> Optional[int]:
    """Check the head of an answer and prepare the partial file for its body.

    Returns:
        Bytes of the whole file, where the server tells them.
    """
    status, headers = response.status_code, response.headers
    if status == 416:
        _discard(part)
        raise _BrokenOffError('the server has another file than before')
    if status not in (200, 206):
        attempts = len(response.raw.retries.history) + 1
        raise FetchError(f'HTTP {status}' + (f' ({attempts} attempts)' if attempts > 1 else ''))
    total = headers.get('Content-Length')
    if status == 206:
        content_range = CONTENT_RANGE.fullmatch(headers.get('Content-Range', ''))
        if content_range is None or int(content_range[1]) != have:
            _discard(part)
            raise _BrokenOffError('the server sent another part than asked for')
        total = None if content_range[2] == '*' else content_range[2]
    else:
        _discard(part)
    validator = headers.get('ETag') or headers.get('Last-Modified')
    # a weak validator does not promise equal bytes
    if validator and not validator.startswith('W/'):
        _validator_file(part).write_text(validator)
    else:
        _validator_file(part).unlink(missing_ok=True)
    return None if total is None else int(total)


def _wait(
    asked: Optional[float], attempt: int, options: FetchOptions, stop: threading.Event
) -> None:
    backoff = options.backoff * 2**attempt * random.uniform(0.5, 1)
    if stop.wait(min(backoff if asked is None else asked, options.longest_wait)):
        raise FetchError('stopped')


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return 'the server does not answer'
    if isinstance(error, requests.Timeout) or 'timed out' in str(error):
        return 'the server stalls'
    return 'the connection failed or broke off'


def _validator_file(part: Path) -> Path:
    return part.with_name(f'{part.name}.etag')


def _discard(part: Path) -> None:
    for path in (part, _validator_file(part)):
        path.unlink(missing_ok=True)
