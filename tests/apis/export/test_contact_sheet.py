"""The contact sheet, as it is used in a browser."""

import numpy as np
import pytest
from PIL import Image

from mmentity.apis.export.contact_sheet import write_contact_sheet

LONG = 'a_walk_through_the_park_' * 6
SCORES = {'b': [0.9], 'a10': [0.6, 0.5, 0.4], 'a9': [], LONG: [0.7, 0.6]}


@pytest.fixture
def out(tmp_path):
    Image.fromarray(np.full((30, 40, 3), 99, np.uint8)).save(tmp_path / 'a.jpg')
    records = [
        {
            'name': name,
            'width': 40,
            'height': 30,
            'entities': [{'score': score} for score in scores],
            'files': {'sheet': 'a.jpg', 'sheet_image': 'a.jpg'},
        }
        for name, scores in SCORES.items()
    ]
    failures = [{'name': f'bad_{LONG}', 'reason': f'/data/{LONG}.jpg is no image'}]
    write_contact_sheet(tmp_path, records, failures, tmp_path)
    return tmp_path


@pytest.fixture(params=[1280, 390])
def page(request, browser, out):
    page, errors = browser.new_page(viewport={'width': request.param, 'height': 800}), []
    page.on('pageerror', lambda error: errors.append(str(error)))
    page.goto((out / 'index.html').as_uri())
    yield page
    assert errors == []
    page.close()


def names(page):
    return page.locator('.card:visible b').all_inner_texts()


def test_sorting_in_both_directions(page):
    orders = {}
    for value in page.locator('option').evaluate_all('(all) => all.map((each) => each.value)'):
        page.select_option('#sort', value)
        orders[value] = names(page)
    assert orders == {
        'name ascending': [LONG, 'a9', 'a10', 'b'],
        'count descending': ['a10', LONG, 'b', 'a9'],
        'count ascending': ['a9', 'b', LONG, 'a10'],
        'score descending': ['b', LONG, 'a10', 'a9'],
        'score ascending': ['a9', 'a10', LONG, 'b'],
    }


def test_a_search_that_finds_nothing_says_so(page):
    page.fill('#find', 'A1')
    assert names(page) == ['a10']
    assert not page.is_visible('#none')
    page.fill('#find', 'zebra')
    assert names(page) == []
    assert page.inner_text('#none') == 'None of the 4 names has “zebra” in it.'
    page.fill('#find', '')
    assert len(names(page)) == 4
    assert not page.is_visible('#none')


def test_an_empty_run_says_so(page, out):
    write_contact_sheet(out, [], [], out)
    page.reload()
    assert page.inner_text('#none') == 'No image has results here.'


def test_long_names_wrap_and_are_readable(page):
    width = page.viewport_size['width']
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    for name in (page.locator('dt'), page.locator('.card b').first):
        assert name.is_visible()
        # not one letter a line
        assert name.bounding_box()['width'] > 140


def test_images_without_entities_at_a_click(page):
    shown = page.locator('.plain').first
    assert shown.evaluate('(e) => getComputedStyle(e).opacity') == '0'
    page.check('#plain')
    page.wait_for_timeout(300)
    assert shown.evaluate('(e) => getComputedStyle(e).opacity') == '1'
