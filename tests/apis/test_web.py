"""The page: its downloads, and in a headless browser where one is installed."""

import asyncio
import contextlib
import http.client
import io
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from mmentity.apis.web import check_web_extra, results, server
from mmentity.apis.web.results import KEPT_RESULTS, ResultStore, describe, make_download
from mmentity.apis.web.uploads import UploadTooLargeError, receive_upload
from mmentity.apis.web.waiting_line import WaitingLine
from mmentity.cli import main
from mmentity.datasets import SampleError
from mmentity.structures.palette import entity_colours
from tests.apis.conftest import make_result, scene, stripes


def in_a_thread(coroutine):
    """Run a coroutine where no browser has a loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


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
    assert [entity['mean'] for entity in described['entities']] == [[7, 7, 7]] * 4
    assert (described['width'], described['height']) == (40, 20)


@pytest.mark.parametrize('limit', ['number', 'pixels'])
def test_only_a_few_results_are_kept(result, limit, monkeypatch):
    store, number = ResultStore(), KEPT_RESULTS
    if limit == 'pixels':
        number = 3
        monkeypatch.setattr(results, 'KEPT_PIXELS', 3 * result.height * result.width)
    keys = [store.add(result) for _ in range(number + 1)]
    assert all(store.get(key) is result for key in keys[1:])
    with pytest.raises(KeyError):
        store.get(keys[0])


def test_a_missing_extra_gets_one_line(monkeypatch, capsys):
    monkeypatch.setattr(server, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'needs starlette and uvicorn.*; run: pip install'):
        check_web_extra()
    assert main(['web', '--weights', 'any.pth']) == 2
    assert re.search(r'web: the page needs starlette.*mmentity\[web\]', capsys.readouterr().err)


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match='max_upload_mb is 0; it must be above 0'):
        server.build_app(None, max_upload_mb=0)


def test_the_line_lets_through_in_order():
    line, told = WaitingLine(), []

    async def wait(name, turn):
        with line.place() as ahead:
            async for number in ahead:
                told.append((name, number))
            await turn.wait()

    async def run():
        turns = {name: asyncio.Event() for name in 'abc'}
        tasks = {name: asyncio.create_task(wait(name, turn)) for name, turn in turns.items()}
        await asyncio.sleep(0.01)
        assert told == [('a', 0), ('b', 1), ('c', 2)]
        # b goes away, then a has finished
        tasks['b'].cancel()
        await asyncio.sleep(0.01)
        assert told[3:] == [('c', 1)]
        turns['a'].set()
        await asyncio.sleep(0.01)
        assert told[4:] == [('c', 0)]
        turns['c'].set()
        await tasks['c']
        assert len(line) == 0

    in_a_thread(run())


WIDTHS = {1280: {}, 390: {'has_touch': True, 'is_mobile': True}}
# widths of the entities that HandDrawn finds; 4 is below the threshold at the start
STRIPES, SCORES = [30, 200, 100, 70], [0.9, 0.8, 0.7, 0.4]
HEIGHT, WIDTH = 200, 400


def test_an_upload_that_grows_too_large_is_deleted(tmp_path):
    async def chunks():
        for _ in range(2):
            yield b'x' * 600_000
            assert len(list(tmp_path.iterdir())) == 1

    with pytest.raises(UploadTooLargeError, match='larger than 1 MB'):
        in_a_thread(receive_upload(chunks(), tmp_path, 1))
    assert list(tmp_path.iterdir()) == []


class HandDrawn:
    """Finds the same stripes in each image, when it may."""

    def __init__(self):
        self.may, self.paths = threading.Event(), []
        self.may.set()

    def predict(self, path):
        assert path.is_file()
        self.paths.append(path)
        assert self.may.wait(20)
        try:
            image = np.asarray(Image.open(path).convert('RGB'))
        except OSError as error:
            raise SampleError(f'{path} is not a complete image ({error})') from error
        return make_result(stripes(STRIPES, HEIGHT), SCORES, path.stem, image=image)


class CountingInferencer:
    """Counts how often the network is asked."""

    def __init__(self, inferencer):
        self.inferencer, self.calls = inferencer, 0

    def predict(self, image):
        self.calls += 1
        return self.inferencer.predict(image)


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


@contextlib.contextmanager
def serving(inferencer, max_upload_mb=1):
    pytest.importorskip('starlette', reason='the extra mmentity[web] is not installed')
    uvicorn = pytest.importorskip('uvicorn', reason='the extra mmentity[web] is not installed')
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    app = server.build_app(inferencer, max_upload_mb)
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level='error'))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.02)
    try:
        yield f'http://127.0.0.1:{port}/'
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture
def drawn():
    return HandDrawn()


@pytest.fixture
def site(drawn):
    with serving(drawn) as address:
        yield address


@pytest.fixture(params=WIDTHS)
def page(request, browser, site):
    """The page at both widths, where no script fails and nothing is wider than the window."""
    with visiting(browser, site, request.param) as page:
        yield page


@contextlib.contextmanager
def visiting(browser, address, width):
    context = browser.new_context(viewport={'width': width, 'height': 800}, **WIDTHS[width])
    page, errors = context.new_page(), []
    page.on('pageerror', lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    assert errors == []
    context.close()


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / 'walk.png'
    Image.fromarray(scene(0, HEIGHT, WIDTH)).save(path)
    return path


def post(address, data, **headers):
    request = urllib.request.Request(f'{address}entities', data, headers)
    with urllib.request.urlopen(request) as answer:
        return [json.loads(line) for line in answer]


def start_posting(address, path):
    headers = {'X-File-Name': 'a'}
    thread = threading.Thread(target=post, args=(address, path.read_bytes()), kwargs=headers)
    thread.start()
    return thread


def open_image(page, path):
    page.set_input_files('#input', path)
    page.wait_for_selector('#progress', state='hidden')
    page.wait_for_selector('tbody tr')


def set_number(page, name, value):
    page.fill(f'#{name}-number', str(value))
    page.press(f'#{name}-number', 'Enter')


def count(page):
    return page.inner_text('#count')


def pixel(page, entity):
    """Colour and alpha of the drawing inside an entity, away from outlines."""
    x = sum(STRIPES[: entity - 1]) + STRIPES[entity - 1] // 2
    page.evaluate('() => new Promise(requestAnimationFrame)')
    return page.evaluate(
        f"[...document.querySelector('#paint').getContext('2d').getImageData({x}, 50, 1, 1).data]"
    )


def place(page, entity):
    """Where the middle of an entity is on the screen."""
    box = page.locator('#paint').bounding_box()
    x = sum(STRIPES[: entity - 1]) + STRIPES[entity - 1] / 2
    return box['x'] + x / WIDTH * box['width'], box['y'] + box['height'] / 2


def transform(page):
    """Left and top of the sheet in the stage, and its scale."""
    style = page.locator('#sheet').get_attribute('style')
    return [float(number) for number in re.findall(r'-?[0-9.]+', style.split('transform')[1])]


@pytest.mark.slow
def test_the_page_with_a_network(browser, outgoing, inferencer, tmp_path):
    Image.fromarray(scene(0, 240, 320)).save(tmp_path / 'walk.png')
    expected = inferencer.predict(tmp_path / 'walk.png')
    counting = CountingInferencer(inferencer)
    requests = []
    with serving(counting) as address, visiting(browser, address, 1280) as page:
        page.on('request', lambda request: requests.append(request.url))
        page.reload()
        open_image(page, tmp_path / 'walk.png')
        rows = page.locator('tbody tr')
        assert rows.count() == expected.keep(0.5).sum()
        score = float(np.median(expected.scores[expected.scores > 0.5]).round(2))
        set_number(page, 'score', score)
        assert 0 < rows.count() == expected.keep(score).sum() < len(expected)
        area = int(np.sort(expected.areas)[-2])
        set_number(page, 'score', 0)
        set_number(page, 'area', area)
        keep = expected.keep(0, area)
        assert rows.count() == keep.sum()
        assert counting.calls == 1
        for kind in ('map.png', 'entities.json', 'cutouts.zip'):
            with page.expect_download() as download:
                page.click(f'#files a[data-kind="{kind}"]')
            download.value.save_as(tmp_path / kind)
            assert download.value.suggested_filename == f'walk_{kind}'
    ids = cv2.imread(str(tmp_path / 'map.png'), cv2.IMREAD_UNCHANGED)
    kept = np.append(False, keep)[expected.entity_map]
    assert np.array_equal(ids, np.where(kept, expected.entity_map, 0))
    assert len(json.loads((tmp_path / 'entities.json').read_text())['entities']) == keep.sum()
    assert len(zipfile.ZipFile(tmp_path / 'cutouts.zip').namelist()) == keep.sum()
    assert [url for url in requests if not url.startswith((address, 'data:'))] == []
    assert outgoing == []


def test_pointing_and_tapping_show_an_entity(page, photo):
    open_image(page, photo)
    assert count(page) == '3 of 4 entities'
    assert not page.is_visible('#tip')
    before = pixel(page, 2)
    is_phone = page.viewport_size['width'] == 390
    (page.touchscreen.tap if is_phone else page.mouse.move)(*place(page, 2))
    page.wait_for_selector('#tip', state='visible')
    assert page.inner_text('#tip') == '#2 · score 0.80 · 40,000 px'
    selector = 'tr[aria-selected="true"]' if is_phone else 'tr.lit'
    assert page.locator(selector).all_inner_texts() == ['\t2\t0.80\t40,000']
    assert pixel(page, 2)[3] > before[3] > pixel(page, 3)[3]
    # entity 4 is below the threshold
    (page.touchscreen.tap if is_phone else page.mouse.move)(*place(page, 4))
    page.wait_for_selector('#tip', state='hidden')
    assert pixel(page, 2) == before


def test_keys_go_through_the_entities(page, photo):
    open_image(page, photo)
    page.focus('#files a:last-child')
    page.keyboard.press('Tab')
    tips = []
    for key in ('ArrowDown', 'ArrowDown', 'ArrowDown', 'Home', 'End', 'ArrowUp'):
        page.keyboard.press(key)
        tips.append(page.inner_text('#tip').split(' ')[0])
        focused = page.evaluate('document.activeElement.dataset.id')
        assert tips[-1] == f'#{focused}'
    assert tips == ['#2', '#3', '#3', '#1', '#3', '#2']
    assert page.evaluate('getComputedStyle(document.activeElement).outlineStyle') == 'solid'
    page.keyboard.press('Escape')
    assert not page.is_visible('#tip')
    # every control has a name
    unnamed = page.evaluate(
        """[...document.querySelectorAll('input, button, a, [tabindex]')].filter((each) => !(
        each.ariaLabel || each.labels?.length || each.textContent.trim())).length"""
    )
    assert unnamed == 0
    assert page.locator('th').all_inner_texts() == ['colour', 'Id', 'Score', 'Area, px']


def test_views_and_opacity(page, photo):
    open_image(page, photo)
    colour = entity_colours(2)[2].astype(float)
    swatch = page.locator('tbody tr:nth-child(2) span')
    below = scene(0, HEIGHT, WIDTH)[:, STRIPES[0] : sum(STRIPES[:2])].mean((0, 1))

    def shown():
        return re.findall(r'[0-9]+', swatch.evaluate('(e) => getComputedStyle(e).background'))[:3]

    # as painted
    assert np.abs(np.array(shown(), int) - (0.55 * colour + 0.45 * below)).max() <= 1.5
    colour = entity_colours(2)[2].tolist()
    assert np.abs(np.subtract(pixel(page, 2), [*colour, 0.55 * 255])).max() <= 1
    assert pixel(page, 4)[3] == 0
    set_number(page, 'opacity', 20)
    assert np.abs(np.subtract(pixel(page, 2), [*colour, 0.2 * 255])).max() <= 3
    page.click('text=Map >> nth=0')
    assert list(map(int, shown())) == colour
    assert pixel(page, 2) == [*colour, 255]
    assert page.locator('#plain').evaluate('(e) => getComputedStyle(e).visibility') == 'hidden'
    assert page.is_disabled('#opacity')
    page.click('text=Plain')
    assert pixel(page, 2)[3] == 0
    assert page.locator('#plain').evaluate('(e) => getComputedStyle(e).visibility') == 'visible'


def test_thresholds_that_leave_nothing_have_a_hint(page, photo):
    open_image(page, photo)
    set_number(page, 'score', 0.95)
    assert count(page) == '0 of 4 entities'
    assert 'The best score is 0.90, the largest area 40,000 px' in page.inner_text('#hint')
    page.click('#hint button')
    assert count(page) == '4 of 4 entities'
    assert not page.is_visible('#hint')
    # logarithmic, up to the area of the image
    slider = page.locator('#area')
    slider.fill('1000')
    assert page.input_value('#area-number') == str(HEIGHT * WIDTH)
    slider.fill('500')
    assert page.input_value('#area-number') == str(round((HEIGHT * WIDTH) ** 0.5))
    set_number(page, 'area', 10**9)
    assert page.input_value('#area-number') == str(HEIGHT * WIDTH)


def test_wheel_buttons_and_dragging(browser, site, photo):
    with visiting(browser, site, 1280) as page:
        open_image(page, photo)
        stage = page.locator('#stage').bounding_box()
        left, top, fitted = transform(page)
        # as large as the window allows
        assert fitted == pytest.approx(min(stage['width'] / WIDTH, stage['height'] / HEIGHT))
        assert stage['width'] > 0.7 * 1280
        assert stage['height'] > 0.9 * 800
        x, y = place(page, 3)
        page.mouse.move(x, y)
        page.mouse.wheel(0, -400)
        page.wait_for_selector('#stage.zoomed')
        assert transform(page)[2] == pytest.approx(fitted * np.exp(0.8), rel=1e-3)
        # what was below the pointer still is
        assert place(page, 3)[0] == pytest.approx(x, abs=1)
        assert page.inner_text('#tip').startswith('#3')
        before = transform(page)
        page.mouse.down()
        page.mouse.move(x + 40, y + 10, steps=3)
        page.mouse.up()
        assert transform(page)[0] == pytest.approx(before[0] + 40, abs=1)
        # dragging chooses nothing
        assert page.locator('tr[aria-selected="true"]').count() == 0
        page.click('[data-zoom=fit]')
        assert transform(page) == pytest.approx([left, top, fitted])
        page.click('[data-zoom=in]')
        assert transform(page)[2] == pytest.approx(1.3 * fitted)
        page.focus('#stage')
        page.keyboard.press('-')
        page.keyboard.press('-')
        assert transform(page)[2] == pytest.approx(fitted)


def test_pinching(browser, site, photo):
    with visiting(browser, site, 390) as page:
        open_image(page, photo)
        fitted = transform(page)[2]
        x, y = place(page, 2)
        touch = page.context.new_cdp_session(page)

        def send(kind, apart=None):
            points = [] if apart is None else [{'x': x - apart, 'y': y}, {'x': x + apart, 'y': y}]
            for number, point in enumerate(points):
                point['id'] = number
            touch.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': points})

        send('touchStart', 20)
        for apart in range(24, 61, 4):
            send('touchMove', apart)
        send('touchEnd')
        assert transform(page)[2] == pytest.approx(3 * fitted, rel=0.05)
        assert place(page, 2)[0] == pytest.approx(x, abs=3)
        assert page.locator('tr[aria-selected="true"]').count() == 0


def test_who_waits_is_told(page, photo, drawn, site):
    drawn.may.clear()
    first = start_posting(site, photo)
    while not drawn.paths:
        time.sleep(0.01)
    page.set_input_files('#input', photo)
    page.wait_for_selector('text=Waiting, 1 image ahead')
    width = page.viewport_size['width']
    assert page.evaluate('document.documentElement.scrollWidth') == width
    box = page.locator('#progress').bounding_box()
    assert box['x'] >= 0
    assert box['x'] + box['width'] <= width
    drawn.may.set()
    page.wait_for_selector('tbody tr')
    first.join()
    # who goes away is not waited for
    drawn.may.clear()
    page.set_input_files('#input', photo)
    page.wait_for_selector('text=Looking for entities')
    page.click('#progress button')
    page.wait_for_selector('#progress', state='hidden')
    assert not page.is_visible('#error')
    drawn.may.set()


def test_an_error_goes_with_the_next_success(page, photo, tmp_path):
    name = f'{"a long name of an image " * 4}no image.png'
    (tmp_path / name).write_text('no image')
    page.set_input_files('#input', tmp_path / name)
    page.wait_for_selector('#error', state='visible')
    message = page.inner_text('#error p')
    assert message.startswith(f'{name} is not a complete image')
    assert 'mmentity-web' not in message
    assert page.evaluate('document.documentElement.scrollWidth') == page.viewport_size['width']
    open_image(page, photo)
    assert not page.is_visible('#error')
    long = photo.with_name(name)
    long.write_bytes(photo.read_bytes())
    open_image(page, long)
    # the whole name, with no part cut off
    shown = page.locator('#file')
    assert shown.inner_text() == f'{name} · {WIDTH} \u00d7 {HEIGHT} px'
    assert shown.evaluate('(e) => e.scrollWidth <= e.clientWidth')


def test_uploads_have_a_limit_and_are_deleted(browser, site, drawn, photo, tmp_path):
    connection = http.client.HTTPConnection(site.split('/')[2])
    headers = {'X-File-Name': 'large%20one.png', 'Content-Length': str(10**6 + 1)}
    connection.request('POST', '/entities', headers=headers)
    with connection.getresponse() as refused:
        assert refused.status == 413
        assert refused.read().startswith(b'large one.png: the file is larger than 1 MB')
    assert drawn.paths == []
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(site, b'')
    assert refused.value.code == 400
    (tmp_path / 'large.png').write_bytes(b'x' * (10**6 + 1))
    with visiting(browser, site, 390) as page:
        page.set_input_files('#input', tmp_path / 'large.png')
        page.wait_for_selector('text=large.png has 2 MB, the limit of this page is 1 MB')
    answers = post(site, photo.read_bytes(), **{'X-File-Name': '../../walk.png'})
    assert answers[0] == {'ahead': 0}
    assert answers[1]['result']['name'] == 'walk'
    (path,) = drawn.paths
    assert path.parent.is_dir()
    deadline = time.monotonic() + 5
    while list(path.parent.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_stays_when_the_server_stops(photo):
    drawn = HandDrawn()
    drawn.may.clear()
    with serving(drawn) as address:
        host, port = re.findall(r'//(.*):(\d+)', address)[0]
        with socket.create_connection((host, int(port))) as half:
            # one upload that stops half-way, one that is being predicted
            half.sendall(b'POST /entities HTTP/1.1\r\nHost: a\r\nX-File-Name: a\r\n'
                         b'Content-Length: 99\r\n\r\nhalf')  # fmt: skip
            start_posting(address, photo)
            while not drawn.paths:
                time.sleep(0.01)
            folder = drawn.paths[0].parent
            assert len(list(folder.iterdir())) == 2
        drawn.may.set()
    assert not folder.exists()
