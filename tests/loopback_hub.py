"""A hub on this machine: what a download asks of huggingface.co, and how that may fail."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
import yaml

from mmentity.checkpoints import releases

COMMIT = 'c0ffee' + '0' * 34
REPO = 'authors/Release'
FOLDER = 'models/nano'
PAGE = f'https://huggingface.co/datasets/{REPO}/tree/main/{FOLDER}'
CONFIG = 'mask2former_swin-nano_demo'


class LoopbackHub(ThreadingHTTPServer):
    """Serves the files of one data set.

    Attributes:
        repo: Name of the data set.
        files: Contents by path in the data set.
        promised: sha256 that the listing names in place of the right one.
        gated: Status with which everybody is turned away, or 0.
        cuts: How many times more a download breaks off half way.
        requests: Method and path of what was asked, in order.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.files = {f'{FOLDER}/nano_0123ab.pth': b'weights' * 1000, f'{FOLDER}/log.txt': b''}
        self.repo = REPO
        self.promised = {}
        self.gated = self.cuts = 0
        self.requests = []
        self.url = f'http://127.0.0.1:{self.server_address[1]}'
        # another host, as that of the hub: the client must not take its answer for the hub's
        self.cdn = f'http://localhost:{self.server_address[1]}/cdn'

    def handle_error(self, request, client_address):
        """Stay silent about clients that hang up."""

    def listing(self, folder):
        return [
            {
                'type': 'file', 'path': path, 'size': len(content), 'oid': '0' * 40,
                'lfs': {
                    'oid': self.promised.get(path) or hashlib.sha256(content).hexdigest(),
                    'size': len(content), 'pointerSize': 134,
                },
            }
            for path, content in self.files.items()
            if path.startswith(f'{folder}/')
        ]  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub, path = self.server, unquote(self.path.partition('?')[0])
        hub.requests.append(f'{self.command} {path}')
        tree, resolve = f'/api/datasets/{hub.repo}/tree/main/', f'/datasets/{hub.repo}/resolve/'
        if hub.gated:
            self.answer(hub.gated, headers={'X-Error-Code': 'GatedRepo'})
        elif path.startswith(tree):
            self.answer(200, json.dumps(hub.listing(path[len(tree) :])).encode())
        elif path.startswith(resolve):
            revision, _, file = path[len(resolve) :].partition('/')
            if revision not in ('main', COMMIT):
                self.answer(404, headers={'X-Error-Code': 'RevisionNotFound'})
            elif file not in hub.files:
                self.answer(404, headers={'X-Error-Code': 'EntryNotFound'})
            else:
                self.point_to(file)
        elif path.startswith('/cdn/'):
            self.send_file(path[len('/cdn/') :])
        else:
            self.answer(404)

    def point_to(self, file):
        """Redirect to where the bytes are, as the hub does for large files."""
        content = self.server.files[file]
        self.answer(
            302,
            headers={
                'Location': f'{self.server.cdn}/{file}',
                'X-Repo-Commit': COMMIT,
                'X-Linked-Size': str(len(content)),
                'X-Linked-Etag': f'"{hashlib.sha256(content).hexdigest()}"',
            },
        )

    def send_file(self, file):
        content, start = self.server.files[file], 0
        if wanted := self.headers.get('Range'):
            start = int(wanted.removeprefix('bytes=').partition('-')[0])
        rest = content[start:]
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(rest)))
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        self.end_headers()
        if self.server.cuts > 0:
            self.server.cuts -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
        else:
            self.wfile.write(rest)

    def answer(self, status, content=b'', headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with weights of the nano Mask2Former, to which client and package are pointed."""
    constants = pytest.importorskip('huggingface_hub.constants')
    server = LoopbackHub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    template = f'{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}'
    monkeypatch.setattr(constants, 'ENDPOINT', server.url)
    monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', template)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setattr(constants, 'HF_TOKEN_PATH', str(tmp_path / 'token'))
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    metafile = tmp_path / 'metafile.yml'
    metadata = {'Weights Page': PAGE, 'Parameters': 1_700_000}
    metafile.write_text(yaml.safe_dump({'Models': [{'Name': CONFIG, 'Metadata': metadata}]}))
    monkeypatch.setattr(releases, 'METAFILE', metafile)
    # attempts of the client are seconds apart
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def go_offline(hub, monkeypatch):
    """Take the network away: by the switch of the client, or by a hub that is not there."""

    def go(how):
        if how == 'switch':
            monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
        hub.shutdown()
        hub.server_close()

    return go
