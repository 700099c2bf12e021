"""From an image to the input of a graph of fixed size, in NumPy and Pillow."""

from typing import NamedTuple

import numpy as np

from mmentity.datasets.geometry import Size, corner_boxes, resize_image, shortest_edge_size
from mmentity.deploy.graph_info import GraphInfo


class GraphInput(NamedTuple):
    """The views of one image.

    Attributes:
        views: Normalised and padded, RGB, float32 ``(1, V, 3, H, W)``.
        view_boxes: Box of each view in the image, xyxy px.
        view_shapes: Height and width of each view before padding, px.
        ori_shape: Height and width of the image, px.
    """

    views: np.ndarray
    view_boxes: tuple[tuple[int, ...], ...]
    view_shapes: tuple[Size, ...]
    ori_shape: Size


def make_views(img: np.ndarray, info: GraphInfo) -> GraphInput:
    """Cut, resize, normalise and pad the views of an image.

    Views are resized as :class:`mmentity.datasets.transforms.ResizeViews` does it, and smaller
    where the graph has no room for that.

    Args:
        img: uint8 BGR ``(H0, W0, 3)``.
        info: What the graph takes.
    """
    height, width = img.shape[:2]
    boxes = [(0, 0, width, height)]
    if info.crop_ratio is not None:
        boxes += map(tuple, corner_boxes(height, width, info.crop_ratio).tolist())
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (info.mean, info.std))
    views = np.zeros((1, len(boxes), 3, *info.size), np.float32)
    shapes = []
    for padded, (x0, y0, x1, y1) in zip(views[0], boxes):
        h, w = view_size(y1 - y0, x1 - x0, info)
        view = resize_image(img[y0:y1, x0:x1], h, w)[..., ::-1].transpose(2, 0, 1)
        padded[:, :h, :w] = (view.astype(np.float32) - mean) / std
        shapes.append((h, w))
    return GraphInput(views, tuple(boxes), tuple(shapes), (height, width))


def view_size(height: int, width: int, info: GraphInfo) -> Size:
    """Size that a view is resized to, which the graph has room for, px."""
    h, w = shortest_edge_size(height, width, info.short_side, info.long_side)
    shrink = min(info.height / h, info.width / w, 1.0)
    if shrink == 1.0:
        return h, w
    return tuple(
        min(most, max(1, int(side * shrink + 0.5)))
        for side, most in ((h, info.height), (w, info.width))
    )  # type: ignore[return-value]
