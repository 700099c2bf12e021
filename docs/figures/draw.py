"""Draw the figures of README and docs from the demo data and a finished `make demo`."""

from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from PIL import Image, ImageDraw

from mmentity.datasets.transforms import LoadEntityImage
from mmentity.structures import EntityMap
from mmentity.visualization.drawing import draw_entities, side_by_side

HERE = Path(__file__).parent
CONFIG = HERE.parents[1] / 'configs/demo/cropformer_swin-nano_demo.py'
COLOURS = ((220, 20, 60), (0, 114, 189), (237, 177, 32), (119, 172, 48))


def views_figure(index: int) -> Image.Image:
    """Draw the boxes of the views on an image, the views, and the entity map."""
    register_all_modules(init_default_scope=True)
    config = Config.fromfile(CONFIG)
    dataset = DATASETS.build(config.val_dataloader.dataset)
    dataset.pipeline.transforms.pop()
    results = dataset[index]
    image = LoadEntityImage()({'img_path': results['img_path']})['img']
    rgb = np.ascontiguousarray(image[..., ::-1])
    boxed = Image.fromarray(rgb)
    draw = ImageDraw.Draw(boxed)
    for inset, (box, colour) in enumerate(zip(results['view_boxes'][1:].tolist(), COLOURS)):
        edges = [v + (2 if k < 2 else -3) * (inset + 1) for k, v in enumerate(box)]
        draw.rectangle(edges, outline=colour, width=4)
    height, width = rgb.shape[:2]
    views = Image.new('RGB', (width, height), 'white')
    for k, view in enumerate(results['view_imgs']):
        tile = Image.fromarray(view[..., ::-1])
        tile.thumbnail((width // 3 - 8, height // 2 - 8))
        framed = Image.new(
            'RGB', (tile.width + 8, tile.height + 8), COLOURS[k - 1] if k else 'black'
        )
        framed.paste(tile, (4, 4))
        views.paste(framed, (k % 3 * (width // 3), k // 3 * (height // 2)))
    entities: EntityMap = results['gt_masks'].entities
    panels = [
        np.asarray(boxed),
        np.asarray(views),
        draw_entities(np.zeros_like(rgb), entities, alpha=1.0),
    ]
    titles = ['image and crop boxes', 'views 0 (whole) to 4', 'entity map']
    return Image.fromarray(side_by_side(panels, titles))


def predict_figure(path: Path) -> Image.Image:
    """Show an image of the demo beside what `mmentity predict IMAGE` drew beside it."""
    paths = (path, path.with_suffix('.overlay.jpg'))
    panels = [np.asarray(Image.open(path).convert('RGB')) for path in paths]
    return Image.fromarray(side_by_side(panels, [path.name for path in paths]))


def task_figure(config: str, name: str) -> Image.Image:
    """Open an image that `make demo-tasks` left."""
    folder = sorted(Path('work_dirs', config, 'test').glob('*/images'))[-1]
    return Image.open(folder / name)


def save(figure: Image.Image, name: str) -> None:
    """Write a figure small enough for git."""
    figure.thumbnail((1100, 1100))
    figure.save(HERE / name, quality=85)


if __name__ == '__main__':
    save(views_figure(4), 'views.jpg')
    save(predict_figure(Path('work_dirs/demo/scene.jpg')), 'predict.jpg')
    for name in ('comparison.jpg', 'curves.png'):
        save(Image.open(Path('work_dirs/demo', name)).convert('RGB'), f'demo_{Path(name).stem}.jpg')
    for task in ('instance', 'semantic', 'panoptic'):
        config = f'mask2former_swin-nano_demo_{task}'
        save(task_figure(config, 'demo_val_00005.jpg'), f'{task}.jpg')
