"""Download from a server of every bad habit, on the loopback address."""

import hashlib
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from mmentity.preparation.download import (
    download,
    items_of_annotations,
    items_of_list,
)
from mmentity.preparation.fetching import FetchOptions, Item
from tests.conftest import ROOT

SIZE = (150, 200)
OPTIONS = FetchOptions(retries=3, timeout=0.5, backoff=0.01)


def image(seed, size=SIZE):
    """JPEG of noise, some 20 kB."""
    rng = np.random.default_rng(seed)
    data = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(data, 'JPEG')
    return data.getvalue()


class Handler(BaseHTTPRequestHandler):
    """The first part of a path says how the server behaves."""

    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def do_GET(self):
        habit, _, seed = self.path.strip('/').partition('/')
        with self.server.lock:
            self.server.requests.append((self.path, self.headers.get('Range')))
            self.server.counts[self.path] += 1
            turn = self.server.counts[self.path]
        getattr(self, habit.replace('-', '_'))(int(seed or 0), turn)

    def answer(self, body, status=200, sent=None, ranges=True, etag='"1"', **headers):
        start = 0
        asked = self.headers.get('Range')
        same = self.headers.get('If-Range') in (None, etag)
        if asked and ranges and same and status == 200:
            start = int(asked.removeprefix('bytes=').rstrip('-'))
            if start >= len(body):
                self.send_response(416)
                self.send_header('Content-Range', f'bytes */{len(body)}')
                self.send_header('Content-Length', '0')
                self.end_headers()
                return
            status = 206
            headers['Content-Range'] = f'bytes {start}-{len(body) - 1}/{len(body)}'
        self.send_response(status)
        self.send_header('Content-Length', str(len(body) - start))
        if etag:
            self.send_header('ETag', etag)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(body[start:sent])
        if sent is not None:
            self.close_connection = True

    def ok(self, seed, turn):
        self.answer(image(seed))

    def redirect(self, seed, turn):
        self.answer(b'', 302, Location=f'/ok/{seed}')

    def loop(self, seed, turn):
        self.answer(b'', 302, Location=f'/loop/{seed}')

    def scheme(self, seed, turn):
        self.answer(b'', 302, Location='file:///etc/passwd')

    def missing(self, seed, turn):
        self.answer(b'gone', 404)

    def busy(self, seed, turn):
        if turn < 3:
            self.answer(b'later', 429, Retry_After='0')
        else:
            self.answer(image(seed))

    def unclear(self, seed, turn):
        if turn == 1:
            self.answer(b'later', 503, Retry_After='soon')
        else:
            self.answer(image(seed))

    def down(self, seed, turn):
        self.answer(b'down', 503)

    def truncate(self, seed, turn):
        self.answer(image(seed), sent=9000 if turn == 1 else None)

    def truncate_no_ranges(self, seed, turn):
        self.answer(image(seed), sent=9000 if turn == 1 else None, ranges=False)

    def always_truncate(self, seed, turn):
        self.answer(image(seed), sent=100, ranges=False)

    def stall(self, seed, turn):
        if turn == 1:
            self.answer(image(seed), sent=9000)
            self.wfile.flush()
            self.close_connection = False
            time.sleep(1.5)
            self.close_connection = True
        else:
            self.answer(image(seed))

    def always_stall(self, seed, turn):
        time.sleep(1.5)
        self.close_connection = True

    def html(self, seed, turn):
        self.answer(b'<html>sign in</html>')

    def other_size(self, seed, turn):
        self.answer(image(seed, (75, 100)))

    def changed(self, seed, turn):
        """Another file from the second request on."""
        etag = '"1"' if turn == 1 else '"2"'
        body = image(seed + 1000) if turn == 1 else image(seed)
        self.answer(body, sent=9000 if turn == 1 else None, etag=etag)

    def changed_without_etag(self, seed, turn):
        body = image(seed + 1000) if turn == 1 else image(seed)
        self.answer(body, sent=9000 if turn == 1 else None, etag=None)

    def drip(self, seed, turn):
        body = image(seed)
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.send_header('ETag', '"1"')
        self.end_headers()
        for start in range(0, len(body), 2000):
            self.wfile.write(body[start : start + 2000])
            time.sleep(0.2)

    def resumable(self, seed, turn):
        if turn == 1:
            self.drip(seed, turn)
        else:
            self.answer(image(seed))


@pytest.fixture
def server():
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    server.handle_error = lambda *args: None
    server.lock, server.requests, server.counts = threading.Lock(), [], Counter()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f'http://127.0.0.1:{server.server_port}'
    yield server
    server.shutdown()


GOOD = ['ok', 'redirect', 'busy', 'unclear', 'truncate', 'truncate-no-ranges', 'stall', 'changed',
        'changed-without-etag']  # fmt: skip
BAD = {
    'missing': 'HTTP 404',
    'down': 'HTTP 503 (4 attempts)',
    'always-truncate': 'the connection',
    'always-stall': 'the server stalls (4 attempts)',
    'html': 'is not a complete image',
    'other-size': 'is 75x100 (height x width), its entry says 150x200',
    'loop': 'TooManyRedirects',
    'scheme': 'InvalidSchema',
}


def items_of(server, root, habits, seeds=(0, 1)):
    return [
        Item(f'{server.url}/{habit}/{seed}', root / f'images/{habit}/{seed}.jpg', SIZE)
        for habit in habits
        for seed in seeds
    ]


def test_complete_files_only_and_everything_else_reported(server, tmp_path):
    items = items_of(server, tmp_path, [*GOOD, *BAD])
    report = download(tmp_path, items, OPTIONS, workers=8)
    assert report.fetched == 2 * len(GOOD)
    for item in items:
        _, habit, seed = item.path.relative_to(tmp_path).with_suffix('').parts
        if habit in GOOD:
            assert item.path.read_bytes() == image(int(seed)), habit
        else:
            assert not item.path.exists(), habit
    reasons = {failure.path: failure.reason for failure in report.failures}
    assert set(reasons) == {f'images/{habit}/{seed}.jpg' for habit in BAD for seed in range(2)}
    for path, reason in reasons.items():
        assert BAD[path.split('/')[1]] in reason, (path, reason)
    kept = [path for path in tmp_path.rglob('*') if path.is_file() and path.suffix != '.jpg']
    # only what can be resumed stays
    assert {path.parent.name for path in kept} <= {'always-truncate'}
    assert '503' in report.table()
    # the rest of a broken file was asked for, not all of it again
    assert ('/truncate/0', 'bytes=8192-') in server.requests

    server.requests.clear()
    again = download(tmp_path, items, OPTIONS, workers=8)
    assert (again.fetched, again.there) == (0, 2 * len(GOOD))
    assert {path.split('/')[1] for path, _ in server.requests} <= set(BAD)


def test_the_server_tells_how_long_to_wait(server, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(
        'mmentity.preparation.fetching._wait', lambda asked, *args: waited.append(asked)
    )
    download(tmp_path, items_of(server, tmp_path, ['busy', 'truncate'], [0]), OPTIONS, 1)
    assert waited == [0.0, 0.0, None]


def test_back_off_doubles():
    from mmentity.preparation import fetching

    class Stop:
        waits = []

        def wait(self, seconds):
            self.waits.append(seconds)

    for attempt in range(12):
        fetching._wait(None, attempt, FetchOptions(backoff=1, longest_wait=60), Stop())
    assert all(2**k / 2 <= wait <= 2**k for k, wait in enumerate(Stop.waits[:6]))
    assert max(Stop.waits) == 60


def test_a_killed_download_goes_on_where_it_was(server, tmp_path):
    urls = [f'{server.url}/resumable/{k} images/{k}.jpg\n' for k in range(2)]
    urls.append(f'{server.url}/ok/2 images/2.jpg\n')
    (tmp_path / 'list.txt').write_text(''.join(urls))
    line = [sys.executable, str(ROOT / 'tools/dataset_converters/entityseg.py'), str(tmp_path),
            'download', '--list', str(tmp_path / 'list.txt')]  # fmt: skip
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parts = [tmp_path / f'images/{k}.jpg.part' for k in range(2)]
    deadline = time.time() + 120
    while not all(part.is_file() and part.stat().st_size for part in parts):
        assert time.time() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not any((tmp_path / f'images/{k}.jpg').exists() for k in range(2))
    sizes = [part.stat().st_size for part in parts]
    server.requests.clear()
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '2 files fetched, 1 were there' in done.stdout
    assert sorted(server.requests) == [(f'/resumable/{k}', f'bytes={sizes[k]}-') for k in range(2)]
    for k in range(3):
        assert (tmp_path / f'images/{k}.jpg').read_bytes() == image(k)
    assert not list(tmp_path.rglob('*.part*'))
    assert json.loads((tmp_path / 'download_report.json').read_text())['failures'] == []


def test_sizes_and_checksums_of_a_list(server, tmp_path):
    body = image(1)
    digest = hashlib.sha256(body).hexdigest()
    lines = [
        '# annotations of the release',
        '',
        f'{server.url}/ok/1 a.zip {len(body)}',
        f'{server.url}/ok/1 b.zip sha256:{digest}',
        f'{server.url}/ok/1 c.zip md5:{hashlib.md5(body).hexdigest()}',
        f'{server.url}/ok/1 d.zip {len(body) + 1}',
        f'{server.url}/ok/1 e.zip sha256:{digest[::-1]}',
    ]
    (tmp_path / 'list.txt').write_text('\n'.join(lines))
    report = download(tmp_path, items_of_list(tmp_path, tmp_path / 'list.txt'), OPTIONS)
    assert report.fetched == 3
    assert {f.path: f.reason.split()[0] for f in report.failures} == {
        'd.zip': 'has',
        'e.zip': 'has',
    }
    for text, message in (
        ('http://x', 'line 1 of .* must be an address, a file name'),
        ('http://x a crc:1', 'must be an address'),
        ('http://x ../a', 'leads out of its folder'),
    ):
        (tmp_path / 'list.txt').write_text(text)
        with pytest.raises(ValueError, match=message):
            items_of_list(tmp_path, tmp_path / 'list.txt')


def write_annotations(root, images):
    folder = root / 'annotations/entity_segmentation'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'entityseg_train.json').write_text(json.dumps({'images': images}))


def test_addresses_of_the_release(server, tmp_path):
    size = {'height': SIZE[0], 'width': SIZE[1]}
    write_annotations(
        tmp_path,
        [
            {'id': 1, 'file_name': 'a/1.jpg', **size, 'url_image': f'{server.url}/ok/1'},
            {'id': 2, 'file_name': 'a/2.jpg', **size, 'url_image': '', 'url_dataset': 'COCO'},
        ],
    )
    line = [sys.executable, str(ROOT / 'tools/dataset_converters/entityseg.py'), str(tmp_path),
            'download', '--workers', '2', '--backoff', '0.01']  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert 'no address; it is of the data set COCO' in done.stdout
    assert (tmp_path / 'images/a/1.jpg').read_bytes() == image(1)
    # an image that does not fit its entry is fetched again
    (tmp_path / 'images/a/1.jpg').write_bytes(image(1)[:5000])
    items, _ = items_of_annotations(tmp_path)
    assert download(tmp_path, items, OPTIONS).fetched == 1
    write_annotations(tmp_path, [{'id': 1, 'file_name': '../1.jpg', **size, 'url_image': 'http:'}])
    with pytest.raises(ValueError, match=r'entityseg_train.json the file name .* leads out'):
        items_of_annotations(tmp_path)
    # a linked folder is its owner's choice of a place
    (tmp_path / 'images/out').symlink_to(tmp_path.parent)
    write_annotations(tmp_path, [{'id': 1, 'file_name': 'out/1.jpg', **size, 'url_image': 'http:'}])
    assert len(items_of_annotations(tmp_path)[0]) == 1
    with pytest.raises(FileNotFoundError, match='get those of the release first'):
        items_of_annotations(tmp_path / 'images')
