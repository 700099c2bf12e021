"""Work in the background: order, bound, errors and early ends."""

import threading
import time

import pytest

from mmentity.apis.threads import map_in_background


@pytest.mark.parametrize('workers', [0, 1, 3])
def test_values_come_in_the_order_of_the_items(workers):
    def slow_for_even(item):
        time.sleep(0.01 * (item % 2 == 0))
        return 10 * item

    values = map_in_background(slow_for_even, range(8), workers, pending=3)
    assert list(values) == [0, 10, 20, 30, 40, 50, 60, 70]


@pytest.mark.parametrize('workers', [0, 2])
def test_items_are_taken_as_values_are_asked_for(workers):
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    values = map_in_background(str, items(), workers, pending=2)
    assert taken == []
    assert next(values) == '0'
    assert len(taken) <= 3
    values.close()
    assert len(taken) <= 3


@pytest.mark.parametrize('workers', [0, 2])
def test_an_error_is_raised_in_its_place(workers):
    values = map_in_background(lambda item: 6 // item, [1, 2, 0, 3], workers, pending=1)
    assert [next(values), next(values)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(values)


def test_what_has_not_begun_is_dropped_at_an_early_end():
    begun, release = [], threading.Event()

    def work(item):
        begun.append(item)
        if item:
            release.wait()
        return item

    values = map_in_background(work, range(10), workers=1, pending=4)
    assert next(values) == 0
    threading.Timer(0.05, release.set).start()
    values.close()
    assert len(begun) <= 3
