"""Colours of entities and classes."""

import colorsys

import numpy as np


def entity_colours(num_entities: int) -> np.ndarray:
    """Return colours in which consecutive entities differ.

    The k-th colour does not depend on how many there are: hues step by the
    golden ratio, and saturation and value alternate.

    Returns:
        uint8 RGB ``(K + 1, 3)``; row 0, for no entity, is black.
    """
    colours = [(0.0, 0.0, 0.0)]
    for number in range(1, num_entities + 1):
        saturation = (0.55, 0.85, 0.7)[number % 3]
        value = (1.0, 0.8)[number % 2]
        colours.append(colorsys.hsv_to_rgb(number * 0.61803398875 % 1.0, saturation, value))
    return (255 * np.array(colours)).astype(np.uint8)
