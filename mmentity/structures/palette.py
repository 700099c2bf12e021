"""Colours of entities and classes."""

import numpy as np


def entity_colours(num_entities: int) -> np.ndarray:
    """Colours in which entities that follow each other differ.

    The k-th colour does not depend on how many there are: hues step by the
    golden ratio, and saturation and value alternate.

    Returns:
        uint8 RGB ``(K + 1, 3)``; row 0, for no entity, is black.
    """
    number = np.arange(1, num_entities + 1)
    hue = (number * 0.61803398875) % 1.0
    saturation = np.choose(number % 3, [0.55, 0.85, 0.7])
    value = np.choose(number % 2, [1.0, 0.8])
    sector = (np.array([5, 3, 1]) + 6 * hue[:, None]) % 6
    rgb = value[:, None] * (1 - saturation[:, None] * np.clip(np.minimum(sector, 4 - sector), 0, 1))
    return np.concatenate([np.zeros((1, 3)), 255 * rgb]).astype(np.uint8)
