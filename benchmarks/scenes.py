"""Made-up images at any size: masks that look like those of a trained model."""

import numpy as np
import torch
from torch import Tensor

from mmentity.datasets.geometry import corner_boxes, shortest_edge_size

SHORT_SIDE, LONG_SIDE = 800, 1333


def view_layout(height: int, width: int, num_views: int = 5) -> dict:
    """Lay the views of an image out as the test pipeline does.

    Args:
        height: Height of the image, px.
        width: Width of the image, px.
        num_views: 1 to 5: the whole image and as many corner crops.
    """
    boxes = [[0, 0, width, height], *corner_boxes(height, width, 0.7).tolist()][:num_views]
    shapes = [
        shortest_edge_size(y1 - y0, x1 - x0, SHORT_SIDE, LONG_SIDE) for x0, y0, x1, y1 in boxes
    ]
    padded = [-(-max(shape[axis] for shape in shapes) // 32) * 32 for axis in (0, 1)]
    return {
        'view_boxes': boxes,
        'view_shapes': shapes,
        'batch_input_shape': padded,
        'ori_shape': (height, width),
    }


def mask_logits(layout: dict, num_queries: int, num_owners: int, kind: str = 'entities') -> Tensor:
    """Make mask logits of every query on every view.

    ``'entities'``: the first ``num_owners`` queries partition the image into
    regions of very different sizes with wavy borders; the others repeat them a
    little differently, as queries of low class score do. ``'noise'``: every value
    by itself, so that no query is confined to a part of the image.

    Returns:
        float32 ``(Q, V, h, w)`` at stride 4 of the padded input.
    """
    generator = torch.Generator().manual_seed(0)
    low = [side // 4 for side in layout['batch_input_shape']]
    num_views = len(layout['view_boxes'])
    logits = torch.empty(num_queries, num_views, *low)
    if kind == 'noise':
        return logits.normal_(0, 4, generator=generator)
    sites, weights = _sites(num_owners, generator)
    copied = torch.randint(num_owners, (num_queries - num_owners,), generator=generator)
    shift = 1.5 * torch.randn(num_queries - num_owners, generator=generator)
    for view in range(num_views):
        margins = _margins(_places(layout, view, low), sites, weights)
        logits[:num_owners, view] = margins
        logits[num_owners:, view] = margins[copied] + shift.view(-1, 1, 1)
    return logits


def class_logits(num_queries: int, num_owners: int, num_classes: int = 1) -> Tensor:
    """Make class logits ``(Q, classes + 1)``: the owners are surest, in their order."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(num_queries, num_classes + 1, generator=generator)
    labels = torch.randint(num_classes, (num_queries,), generator=generator)
    sure = torch.linspace(9, 6, num_owners)
    logits[torch.arange(num_owners), labels[:num_owners]] = sure
    logits[num_owners:, -1] = 4
    return logits


def entity_ids(height: int, width: int, num_entities: int) -> np.ndarray:
    """Draw a ground-truth map: the regions of :func:`mask_logits`, int32 ``(H, W)``, 1..K."""
    generator = torch.Generator().manual_seed(0)
    sites, weights = _sites(num_entities, generator)
    rows = (torch.arange(height) + 0.5) / height
    columns = (torch.arange(width) + 0.5) / width
    ids = [(_distances((row, columns), sites, weights).argmin(dim=0) + 1) for row in rows.split(64)]
    return torch.cat(ids).int().numpy()


def photograph(height: int, width: int) -> np.ndarray:
    """Draw smooth noise, which takes as long to decode as a photograph; uint8 ``(H, W, 3)``."""
    from PIL import Image

    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (max(2, height // 12), max(2, width // 12), 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


def _sites(number: int, generator: torch.Generator) -> tuple:
    """Centres in 0..1 and weights of regions: a few large ones and many small ones."""
    sites = torch.rand(number, 2, generator=generator)
    weights = torch.rand(number, generator=generator).pow(4) * 0.12
    return sites, weights


def _places(layout: dict, view: int, low: list) -> tuple:
    """Where the low-res rows and columns of a view lie in the image, 0..1 and beyond."""
    x0, y0, x1, y1 = layout['view_boxes'][view]
    height, width = layout['view_shapes'][view]
    whole_height, whole_width = layout['ori_shape']
    rows = (y0 + (torch.arange(low[0]) + 0.5) * 4 / height * (y1 - y0)) / whole_height
    columns = (x0 + (torch.arange(low[1]) + 0.5) * 4 / width * (x1 - x0)) / whole_width
    return rows, columns


def _distances(places: tuple, sites: Tensor, weights: Tensor) -> Tensor:
    """Weighted distance of places to centres, with waves; ``(K, rows, columns)``."""
    rows, columns = places
    y = rows[:, None] + 0.012 * torch.sin(40 * columns)[None]
    x = columns[None] + 0.012 * torch.sin(37 * rows)[:, None]
    down = y[None] - sites[:, 0].view(-1, 1, 1)
    across = x[None] - sites[:, 1].view(-1, 1, 1)
    return (down.square() + across.square()).sqrt() - weights.view(-1, 1, 1)


def _margins(places: tuple, sites: Tensor, weights: Tensor) -> Tensor:
    """Logits of each region: how much nearer it is than the next, in a steep unit."""
    distances = _distances(places, sites, weights)
    first, second = distances.topk(2, dim=0, largest=False).values
    others = torch.where(distances == first, second, first)
    return (150 * (others - distances)).clamp(-12, 12)
