"""The page: its downloads, and in a headless browser where one is installed."""

import io
import json
import re
import shutil
import socket
import threading
import time
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from mmentity.apis.web import check_web_extra, server
from mmentity.apis.web.results import KEPT_RESULTS, ResultStore, describe, make_download
from mmentity.cli import main
from tests.apis.conftest import make_result, scene, stripes


@pytest.fixture
def result():
    """Entities of 60, 400 and 200 px in descending score, and one of a low score."""
    image = np.full((20, 40, 3), 7, np.uint8)
    return make_result(stripes([3, 20, 10, 7]), [0.9, 0.8, 0.7, 0.4], 'walk', image=image)


def test_downloads_hold_what_is_above_the_thresholds(result):
    data = make_download(result, 'map.png', 0.5, 100).data
    ids = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(ids, np.where(np.isin(result.entity_map, (2, 3)), result.entity_map, 0))
    table = json.loads(make_download(result, 'entities.json', 0.5, 100).data)
    assert [(entity['id'], entity['area']) for entity in table['entities']] == [(2, 400), (3, 200)]
    file = make_download(result, 'cutouts.zip', 0.5, 100)
    archive = zipfile.ZipFile(io.BytesIO(file.data))
    assert archive.namelist() == ['2.png', '3.png']
    assert Image.open(archive.open('3.png')).size == (10, 20)
    with pytest.raises(ValueError, match='no file'):
        make_download(result, 'map.gif', 0.5, 100)


def test_the_page_gets_every_entity_once(result):
    described = describe(result, 'key')
    assert [entity['id'] for entity in described['entities']] == [1, 2, 3, 4]
    assert described['image'].startswith('data:image/jpeg')
    assert (described['width'], described['height']) == (40, 20)


def test_only_a_few_results_are_kept(result):
    store = ResultStore()
    keys = [store.add(result) for _ in range(KEPT_RESULTS + 1)]
    assert store.get(keys[-1]) is result
    with pytest.raises(KeyError):
        store.get(keys[0])


def test_a_missing_extra_gets_one_line(monkeypatch, capsys):
    monkeypatch.setattr(server, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'needs gradio, which is not there; run: pip install'):
        check_web_extra()
    assert main(['web', '--weights', 'any.pth']) == 2
    assert re.search(r'web: the page needs gradio.*mmentity\[web\]', capsys.readouterr().err)


class CountingInferencer:
    """Counts how often the network is asked."""

    def __init__(self, inferencer):
        self.inferencer, self.calls = inferencer, 0

    def predict(self, image):
        self.calls += 1
        return self.inferencer.predict(image)


@pytest.fixture
def browser():
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    names = ('chromium', 'chromium-browser', 'google-chrome')
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip('no Chromium is installed; on Debian: apt-get install chromium')
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield running
        running.close()


@pytest.fixture
def outgoing(monkeypatch):
    """Addresses off this machine that the server's process connects to."""
    addresses, connect = [], socket.socket.connect

    def watched(self, address):
        if isinstance(address, tuple) and address[0] not in ('127.0.0.1', '::1', 'localhost'):
            addresses.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, 'connect', watched)
    return addresses


@pytest.fixture
def site(inferencer, outgoing):
    pytest.importorskip('gradio', reason='the extra mmentity[web] is not installed')
    import uvicorn

    counting = CountingInferencer(inferencer)
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    config = uvicorn.Config(server.build_app(counting), port=port, log_level='error')
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.05)
    yield f'http://127.0.0.1:{port}/', counting
    running.should_exit = True
    thread.join()


def set_slider(page, name, value):
    box = page.locator(f'#{name} input[type=number]')
    box.fill(str(value))
    box.press('Enter')


@pytest.mark.slow
def test_the_page_in_a_browser(browser, site, outgoing, inferencer, tmp_path):
    address, counting = site
    Image.fromarray(scene(0, 240, 320)).save(tmp_path / 'walk.png')
    expected = inferencer.predict(tmp_path / 'walk.png')
    page = browser.new_page(viewport={'width': 1400, 'height': 900})
    requests, errors = [], []
    page.on('request', lambda request: requests.append(request.url))
    page.on('pageerror', lambda error: errors.append(str(error)))
    page.goto(address)
    page.set_input_files('#drop input[type=file]', tmp_path / 'walk.png')
    page.wait_for_selector('#entities .list li')

    def shown():
        return page.locator('#entities .list li').count()

    def wait_for(number):
        page.wait_for_function(
            f"document.querySelectorAll('#entities .list li').length === {number}"
        )

    wait_for(expected.keep(0.5).sum())
    score = float(np.median(expected.scores[expected.scores > 0.5]).round(2))
    set_slider(page, 'score', score)
    wait_for(expected.keep(score).sum())
    assert 0 < shown() < len(expected)
    # the slider ends at 10000
    area = min(int(np.sort(expected.areas)[-2]) // 10 * 10, 10000)
    set_slider(page, 'score', 0)
    set_slider(page, 'area', area)
    wait_for(expected.keep(0, area).sum())
    assert counting.calls == 1

    canvas = page.locator('#entities canvas')
    box = canvas.bounding_box()
    largest = int(expected.areas.argmax())
    row, column = np.argwhere(expected.entity_map == largest + 1)[len(expected.areas)]
    before = canvas.screenshot()
    x, y = (column + 0.5) / 320 * box['width'], (row + 0.5) / 240 * box['height']
    page.mouse.move(box['x'] + x, box['y'] + y)
    tip = page.locator('#entities .tip')
    tip.wait_for(state='visible')
    assert tip.inner_text() == (
        f'entity {largest + 1}: score {expected.scores[largest]:.2f}, '
        f'{expected.areas[largest]:,} px'
    )
    assert page.locator('#entities .list li.lit').count() == 1
    assert canvas.screenshot() != before

    for kind in ('map.png', 'entities.json', 'cutouts.zip'):
        with page.expect_download() as download:
            page.click(f'#entities a[data-kind="{kind}"]')
        download.value.save_as(tmp_path / kind)
        assert download.value.suggested_filename == f'walk_{kind}'
    ids = cv2.imread(str(tmp_path / 'map.png'), cv2.IMREAD_UNCHANGED)
    keep = expected.keep(0, area)
    assert np.array_equal(
        ids, np.where(np.append(False, keep)[expected.entity_map], expected.entity_map, 0)
    )
    assert len(json.loads((tmp_path / 'entities.json').read_text())['entities']) == keep.sum()
    assert len(zipfile.ZipFile(tmp_path / 'cutouts.zip').namelist()) == keep.sum()

    (tmp_path / 'bad.png').write_text('no image')
    page.click('#drop button[aria-label="Clear"], #drop [aria-label="Remove this file"]')
    page.set_input_files('#drop input[type=file]', tmp_path / 'bad.png')
    page.wait_for_selector('text=is not a complete image')

    allowed = (address, 'data:', f'blob:{address}')
    assert [url for url in requests if not url.startswith(allowed)] == []
    assert outgoing == []
    assert errors == []
