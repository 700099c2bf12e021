"""Draw the entities of the demo's validation images that are most alike, by their features."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmentity.apis import EntityInferencer, entity_crops
from mmentity.apis.result import EntityResult
from mmentity.visualization.text import draw_text

HERE = Path(__file__).parent
SIDE, GAP, BAR = 112, 6, 20
ALIKE = 7


def unit(features: np.ndarray) -> np.ndarray:
    """Bring rows to length 1."""
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def figure(results: list[EntityResult], asked: list[tuple[int, int]]) -> Image.Image:
    """Draw a row for each entity asked for (image, row): itself, and what is most alike."""
    owners = np.concatenate([np.full(len(result), k) for k, result in enumerate(results)])
    crops = [crop for result in results for crop in entity_crops(None, result, 'remove', size=SIDE)]
    pooled = unit(np.concatenate([result.features.pooled for result in results]))
    starts = np.cumsum([0, *map(len, results)])
    width = (SIDE + GAP) * (ALIKE + 1) + 2 * GAP
    sheet = Image.new('RGB', (width, (SIDE + BAR) * len(asked)), 'white')
    canvas = ImageDraw.Draw(sheet)
    for line, (image, row) in enumerate(asked):
        query = starts[image] + row
        similarity = pooled @ pooled[query]
        # of other images
        similarity[owners == image] = -1
        for column, k in enumerate([query, *np.argsort(-similarity)[:ALIKE]]):
            x = column * (SIDE + GAP) + (2 * GAP if column else 0)
            sheet.paste(Image.fromarray(crops[k]), (x, line * (SIDE + BAR) + BAR))
            title = f'{similarity[k]:.3f}' if column else 'asked for'
            draw_text(canvas, (x, line * (SIDE + BAR) + 2), title, 14)
    return sheet


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--config', default='cropformer_swin-nano_demo')
    parser.add_argument('--weights', default='work_dirs/cropformer_swin-nano_demo/iter_500.pth')
    parser.add_argument('--images', default='data/entityseg_demo/images/*/*val*.jpg')
    parser.add_argument(
        '--asked', nargs='+', default=['1,1', '7,3', '4,4', '2,2'], help='image,row'
    )
    args = parser.parse_args()
    inferencer = EntityInferencer(args.config, args.weights, 'cpu', features=True)
    results = [r.select(0.5, 200) for r in inferencer.stream(args.images, keep_image=True)]
    rows = [tuple(map(int, text.split(','))) for text in args.asked]
    figure(results, rows).save(HERE / 'alike.jpg', quality=88)
