"""The page: a picture, two sliders, and the entities under the pointer."""

from pathlib import Path
from typing import Optional

import gradio as gr

from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.web.results import ResultStore, describe
from mmentity.datasets.errors import SampleError

PARTS = Path(__file__).parent
# names of fonts that machines have, in place of those that gradio's themes fetch
FONTS = {
    'font': ['system-ui', 'sans-serif'],
    'font_mono': ['ui-monospace', 'monospace'],
}


def build_page(inferencer: EntityInferencer, store: ResultStore) -> tuple:
    """Build the page.

    Args:
        inferencer: Model to predict with.
        store: Where results are kept for downloads.

    Returns:
        Gradio's blocks, and how they look, for ``mount_gradio_app``.
    """

    def predict(path: Optional[str]) -> Optional[dict]:
        if path is None:
            return None
        try:
            result = inferencer.predict(path)
        except SampleError as error:
            raise gr.Error(str(error), duration=None) from error
        return describe(result, store.add(result))

    with gr.Blocks(title='mmentity', analytics_enabled=False, fill_width=True) as page:
        gr.Markdown(
            '### Entities of a picture\nDrop a picture, then move the thresholds and point at '
            'what was found. Everything stays on this machine.'
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                # the file itself, so that nothing is lost by encoding it again
                picture = gr.File(
                    label='picture',
                    file_types=['image'],
                    type='filepath',
                    elem_id='drop',
                    height=140,
                )
                score_thr = gr.Slider(
                    0, 1, value=0.5, step=0.01, label='lowest score', elem_id='score'
                )
                min_area = gr.Slider(
                    0, 10000, value=0, step=10, label='fewest pixels', elem_id='area'
                )
            with gr.Column(scale=4):
                view = gr.HTML(
                    value=None,
                    html_template=_part('view.html'),
                    css_template=_part('view.css'),
                    js_on_load=_part('view.js'),
                    elem_id='entities',
                    score_thr=0.5,
                    min_area=0,
                )
        picture.change(predict, picture, view, api_visibility='private')
        # thresholds move in the browser; the network is not asked again
        for slider in (score_thr, min_area):
            slider.input(
                lambda score, area: gr.HTML(score_thr=score, min_area=area),
                [score_thr, min_area],
                view,
                show_progress='hidden',
                trigger_mode='always_last',
                api_visibility='private',
            )
    return page, {'theme': gr.themes.Default(**FONTS)}


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding='utf-8')
