"""Colours of entities and classes."""

import colorsys
from collections.abc import Iterable

import numpy as np


def entity_colours(num_entities: int) -> np.ndarray:
    """Return colours in which consecutive entities differ.

    The k-th colour does not depend on how many there are: hues step by the
    golden ratio, and saturation and value alternate.

    Returns:
        uint8 RGB ``(K + 1, 3)``; row 0, for no entity, is black.
    """
    return colours_of(range(num_entities + 1))


def colours_of(ids: Iterable[int]) -> np.ndarray:
    """Return the colour that :func:`entity_colours` has for each id, uint8 RGB ``(N, 3)``."""
    colours = []
    for number in ids:
        if number == 0:
            colours.append((0.0, 0.0, 0.0))
            continue
        saturation = (0.55, 0.85, 0.7)[number % 3]
        value = (1.0, 0.8)[number % 2]
        colours.append(colorsys.hsv_to_rgb(number * 0.61803398875 % 1.0, saturation, value))
    return (255 * np.reshape(colours, (-1, 3))).astype(np.uint8)
