"""Motion between two frames, and what it makes of a map."""

from typing import NamedTuple, Optional

import numpy as np

from mmentity.utils.dependencies import import_opencv

FLOW = 'optical flow'
# Flow is computed at this longest side, px: it is smooth, and borders come from the map.
FLOW_SIDE = 640


class Motion(NamedTuple):
    """Dense motion from the frame before to this one.

    Attributes:
        backward: float32 ``(h, w, 2)``: x and y in px of the map, from a place in this frame
            to where it was in the frame before. Its grid may be coarser than the map.
        camera: x and y of the median motion, px: that of most of the image.
    """

    backward: np.ndarray
    camera: np.ndarray


class DenseFlow:
    """Motion by OpenCV's dense inverse search, one frame after the other."""

    def __init__(self) -> None:
        self._before: Optional[np.ndarray] = None
        cv2 = import_opencv(FLOW)
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, image: np.ndarray) -> Optional[Motion]:
        """Take the next frame, uint8 RGB ``(H, W, 3)``; there is no motion at the first one."""
        cv2 = import_opencv(FLOW)
        height, width = image.shape[:2]
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        factor = min(1.0, FLOW_SIDE / max(height, width))
        # dense inverse search needs a few cells in each direction
        size = tuple(max(16, round(side * factor)) for side in (width, height))
        if size != (width, height):
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        before, self._before = self._before, grey
        if before is None:
            return None
        start = np.zeros((*grey.shape, 2), np.float32)
        backward = self._search.calc(grey, before, start)
        backward *= np.array([width / size[0], height / size[1]], np.float32)
        return Motion(backward, -np.median(backward[::4, ::4].reshape(-1, 2), axis=0))


def warp(ids: np.ndarray, motion: Motion) -> np.ndarray:
    """Move a map of the frame before to where its pixels are in this one.

    Args:
        ids: uint16 ``(H, W)``.
        motion: Motion between the frames.

    Returns:
        uint16 ``(H, W)``; 0 where a pixel comes from outside of the map.
    """
    cv2 = import_opencv(FLOW)
    height, width = ids.shape
    backward = motion.backward
    if backward.shape[:2] != ids.shape:
        backward = cv2.resize(backward, (width, height), interpolation=cv2.INTER_LINEAR)
    x = backward[..., 0] + np.arange(width, dtype=np.float32)
    y = backward[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(ids, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)


def mean_motion(ids: np.ndarray, num_entities: int, motion: Motion) -> np.ndarray:
    """Return x and y of the mean motion of each entity, px, float64 ``(K, 2)``.

    Args:
        ids: Map of this frame, ``(H, W)``.
        num_entities: K.
        motion: Motion between the frames; it is read at the places of a coarse grid.
    """
    height, width = motion.backward.shape[:2]
    step = max(1, max(height, width) // 320)
    backward = motion.backward[::step, ::step]
    rows, columns = (
        np.arange(0, size, step) * side // size for size, side in zip((height, width), ids.shape)
    )
    places = ids[rows[:, None], columns].ravel()
    counts = np.maximum(np.bincount(places, minlength=num_entities + 1), 1)
    sums = [np.bincount(places, backward[..., axis].ravel(), num_entities + 1) for axis in (0, 1)]
    return -np.stack(sums, axis=1)[1:] / counts[1:, None]


def centres(ids: np.ndarray, num_entities: int) -> np.ndarray:
    """Return x and y of the centre of each entity, px, float64 ``(K, 2)``, on a coarse grid.

    Those without a place on the grid have NaN.
    """
    step = max(1, max(ids.shape) // 320)
    sampled = ids[::step, ::step]
    places = sampled.ravel()
    counts = np.bincount(places, minlength=num_entities + 1).astype(float)
    rows, columns = sampled.shape
    x = np.broadcast_to(np.arange(columns) * step, sampled.shape).ravel()
    y = np.repeat(np.arange(rows) * step, columns)
    counts[counts == 0] = np.nan
    sums = [np.bincount(places, values, num_entities + 1) for values in (x, y)]
    return (np.stack(sums, axis=1) / counts[:, None])[1:]
