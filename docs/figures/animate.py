"""Draw the animated figures from a finished `make demo`: a pan over a scene, and the page.

python docs/figures/animate.py; the page needs the extra mmentity[web], playwright and Chromium.
"""

import io
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image
from playwright.sync_api import sync_playwright

from mmentity.apis import EntityInferencer
from mmentity.apis.web.server import build_app
from mmentity.structures import EntityMap
from mmentity.visualization.drawing import draw_entities, matched_colours

HERE = Path(__file__).parent
MODEL = 'cropformer_swin-nano_demo'
WEIGHTS = Path('work_dirs', MODEL, 'best_entity_APe_iter_500.pth')
IMAGE = 'data/entityseg_demo/images/entity_01_11580/demo_val_00036.jpg'
# of the window that moves over the scene, px
WIDTH, HEIGHT = 288, 216
FRAMES = 16
PORT = 7861


def pan(inferencer: EntityInferencer, img: np.ndarray) -> list:
    """Predict what a window sees on its way over an image, uint8 RGB, and back.

    Every frame is predicted by itself. Colours are those of the entities of the whole image that
    match them, so that they stay.
    """
    whole = inferencer.predict(np.ascontiguousarray(img[..., ::-1])).select(0.5, 60).entities
    frames = []
    for step in np.linspace(0, 1, FRAMES):
        x, y = (round(step * (img.shape[axis] - side)) for axis, side in ((1, WIDTH), (0, HEIGHT)))
        box = (slice(y, y + HEIGHT), slice(x, x + WIDTH))
        frame = np.ascontiguousarray(img[box])
        found = inferencer.predict(np.ascontiguousarray(frame[..., ::-1])).select(0.5, 60).entities
        seen = EntityMap(np.ascontiguousarray(whole.ids[0][box]), whole.num_entities)
        drawn = draw_entities(frame, found, colours=matched_colours(found, seen))
        frames.append(Image.fromarray(np.hstack([frame, drawn])))
    return frames + frames[::-1]


def page(inferencer: EntityInferencer, image: str) -> list:
    """Open an image on the page, go through its entities, and change view and opacity."""
    server = uvicorn.Server(uvicorn.Config(build_app(inferencer), port=PORT, log_level='error'))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    frames = []
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, ('chromium', 'google-chrome'))))
        browser = playwright.chromium.launch(executable_path=path, args=['--no-sandbox'])
        tab = browser.new_page(viewport={'width': 1280, 'height': 760})

        def show(times: int = 2) -> None:
            shot = Image.open(io.BytesIO(tab.screenshot())).convert('RGB')
            frames.extend([shot.resize((853, 507), Image.Resampling.LANCZOS)] * times)

        tab.goto(f'http://127.0.0.1:{PORT}/')
        show()
        tab.set_input_files('#input', image)
        tab.wait_for_selector('#list tbody tr')
        show()
        for row in tab.query_selector_all('#list tbody tr')[:4]:
            row.hover()
            show()
        for view in ('Map', 'Plain', 'Overlay'):
            tab.click(f'#view >> text={view}')
            show()
        for opacity in (80, 30, 55):
            tab.fill('#opacity-number', str(opacity))
            show(1)
        tab.fill('#score-number', '0.85')
        tab.press('#score-number', 'Enter')
        show(3)
        browser.close()
    server.should_exit = True
    return frames


def save(frames: Sequence, name: str, milliseconds: int) -> None:
    """Write an animation, small enough for git."""
    frames[0].save(
        HERE / name,
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds,
        quality=70,
        loop=0,
    )


if __name__ == '__main__':
    model = EntityInferencer(MODEL, WEIGHTS, show_progress=False)
    save(pan(model, np.asarray(Image.open(IMAGE).convert('RGB'))), 'pan.webp', 160)
    save(page(model, IMAGE), 'page.webp', 600)
