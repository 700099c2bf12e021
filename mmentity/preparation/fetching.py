"""One file from the network: retried, resumed, verified, and whole or not there."""

import hashlib
import random
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple, Optional

import requests

from mmentity.preparation.check_files import inspect_picture

# what a connection loses of its last block when it breaks
BLOCK = 1 << 13
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class Item(NamedTuple):
    """One file to fetch.

    Attributes:
        url: Address, http or https.
        path: Where it goes.
        picture_size: ``(height, width)`` px that a picture must have.
        num_bytes: Length that it must have.
        digest: ``'sha256:...'`` or ``'md5:...'`` that it must have.
    """

    url: str
    path: Path
    picture_size: Optional[tuple] = None
    num_bytes: Optional[int] = None
    digest: Optional[str] = None


@dataclass(frozen=True)
class FetchOptions:
    """Patience with servers.

    Attributes:
        retries: Further attempts after a failure that may pass.
        timeout: Seconds without a byte after which an attempt ends.
        attempt_seconds: Seconds after which an attempt ends in any case; the
            next one goes on where it was.
        backoff: Seconds before the first further attempt, doubled each time.
        longest_wait: Most seconds to wait, also where a server asks for more.
    """

    retries: int = 5
    timeout: float = 30.0
    attempt_seconds: float = 600.0
    backoff: float = 1.0
    longest_wait: float = 120.0


class FetchError(Exception):
    """A file cannot be had; the sentence says why."""


class _TransientError(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
        wait: Seconds that the server asks to wait, or None.
    """

    def __init__(self, sentence: str, wait: Optional[float] = None) -> None:
        super().__init__(sentence)
        self.wait = wait


def fault_of(path: Path, item: Item) -> str:
    """Tell why a file is not the one that is wanted, or ''."""
    if item.num_bytes is not None and path.stat().st_size != item.num_bytes:
        return f'has {path.stat().st_size} bytes, not {item.num_bytes}'
    if item.digest is not None:
        name, _, wanted = item.digest.partition(':')
        with path.open('rb') as stream:
            found = hashlib.new(name)
            for block in iter(lambda: stream.read(1 << 20), b''):
                found.update(block)
        if found.hexdigest() != wanted.lower():
            return f'has another {name} checksum than the list'
    if item.picture_size is not None:
        picture = inspect_picture(str(path))
        if picture.fault:
            return f'is no whole picture ({picture.fault})'
        if picture.size != tuple(item.picture_size):
            return (
                f'is {picture.size[0]}x{picture.size[1]} (height x width), its entry says '
                f'{item.picture_size[0]}x{item.picture_size[1]}'
            )
    return ''


def fetch(
    item: Item,
    session: requests.Session,
    options: FetchOptions,
    stop: threading.Event,
) -> None:
    """Fetch one file; it appears under its name only when it is whole and verified.

    What has arrived stays beside it as ``NAME.part``, and the next attempt or
    run asks for the rest, if the server tells that it still has the same file.

    Args:
        item: What to fetch.
        session: Session of this thread.
        options: Patience.
        stop: Set by another thread to give up.

    Raises:
        FetchError: If it cannot be had.
    """
    part = item.path.with_name(f'{item.path.name}.part')
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(options.retries + 1):
        resumed = part.is_file()
        try:
            _attempt(item.url, part, session, options, stop)
        except _TransientError as error:
            if attempt == options.retries:
                raise FetchError(f'{error} ({attempt + 1} attempts)') from error
            _wait(error.wait, attempt, options, stop)
            continue
        fault = fault_of(part, item)
        if not fault:
            _validator_file(part).unlink(missing_ok=True)
            part.replace(item.path)
            return
        _forget(part)
        if not resumed or attempt == options.retries:
            raise FetchError(fault)
    raise FetchError(fault)


def _attempt(
    url: str,
    part: Path,
    session: requests.Session,
    options: FetchOptions,
    stop: threading.Event,
) -> None:
    headers = {'Accept-Encoding': 'identity'}
    # without a validator the rest may be that of another file
    if not _validator_file(part).is_file():
        _forget(part)
    have = part.stat().st_size if part.is_file() else 0
    if have:
        headers['Range'] = f'bytes={have}-'
        headers['If-Range'] = _validator_file(part).read_text()
    try:
        with session.get(url, headers=headers, stream=True, timeout=options.timeout) as response:
            _receive(response, part, have, options, stop)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _TransientError(_reason(error)) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _TransientError('the connection broke off') from error
    except (requests.RequestException, ValueError) as error:
        raise FetchError(f'{type(error).__name__}: {error}') from error


def _receive(
    response: requests.Response,
    part: Path,
    have: int,
    options: FetchOptions,
    stop: threading.Event,
) -> None:
    status = response.status_code
    if status == 416:
        _forget(part)
        raise _TransientError('the server has another file than before', wait=0)
    if status in TRANSIENT:
        raise _TransientError(f'HTTP {status}', _asked_wait(response))
    if status not in (200, 206):
        raise FetchError(f'HTTP {status}')
    length = response.headers.get('Content-Length')
    total = int(length) if length is not None else None
    if status == 206:
        start, total = _content_range(response)
        if start != have:
            _forget(part)
            raise _TransientError('the server sent another part than asked for', wait=0)
    validator = response.headers.get('ETag') or response.headers.get('Last-Modified')
    # a weak validator does not promise equal bytes
    if validator and not validator.startswith('W/'):
        _validator_file(part).write_text(validator)
    else:
        _validator_file(part).unlink(missing_ok=True)
    deadline = time.monotonic() + options.attempt_seconds
    # unbuffered, so that a killed run leaves what it had
    with part.open('ab' if status == 206 else 'wb', buffering=0) as stream:
        for block in response.iter_content(BLOCK):
            stream.write(block)
            if stop.is_set():
                raise FetchError('stopped')
            if time.monotonic() > deadline:
                raise _TransientError('the server is too slow', wait=0)
    if total is not None and part.stat().st_size != total:
        if part.stat().st_size > total:
            _forget(part)
        raise _TransientError(f'the connection broke off before {total} bytes')


def _content_range(response: requests.Response) -> tuple:
    """First byte and total length of a partial answer."""
    text = response.headers.get('Content-Range', '')
    try:
        span, total = text.removeprefix('bytes ').split('/')
        return int(span.split('-')[0]), int(total) if total != '*' else None
    except ValueError:
        return -1, None


def _asked_wait(response: requests.Response) -> Optional[float]:
    """Seconds of ``Retry-After``, which is a number or a date."""
    text = response.headers.get('Retry-After')
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _wait(
    asked: Optional[float], attempt: int, options: FetchOptions, stop: threading.Event
) -> None:
    usual = options.backoff * 2**attempt * random.uniform(0.5, 1)
    if stop.wait(min(usual if asked is None else asked, options.longest_wait)):
        raise FetchError('stopped')


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return 'the server does not answer'
    if isinstance(error, requests.Timeout) or 'timed out' in str(error):
        return 'the server stalls'
    return 'the connection failed or broke off'


def _validator_file(part: Path) -> Path:
    return part.with_name(f'{part.name}.etag')


def _forget(part: Path) -> None:
    for path in (part, _validator_file(part)):
        path.unlink(missing_ok=True)
