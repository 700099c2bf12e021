"""The page: an image, two sliders, and the entities under the pointer."""

from pathlib import Path
from typing import Any, Optional

import gradio as gr

from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.web.results import ResultStore, describe
from mmentity.datasets.errors import SampleError

# names of fonts that machines have, in place of those that gradio's themes fetch
THEME = gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['ui-monospace', 'monospace'])


def build_page(inferencer: EntityInferencer, store: ResultStore) -> gr.Blocks:
    """Build the page; the store keeps results for its downloads."""

    def predict(path: Optional[str]) -> Optional[dict[str, Any]]:
        if path is None:
            return None
        try:
            result = inferencer.predict(path)
        except SampleError as error:
            raise gr.Error(str(error), duration=None) from error
        return describe(result, store.add(result))

    with gr.Blocks(title='mmentity', analytics_enabled=False, fill_width=True) as blocks:
        gr.Markdown(
            '### Entities of an image\nDrop an image, then move the thresholds and point at '
            'the entities. Everything stays on this machine.'
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                # the file itself, so that nothing is lost by encoding it again
                image = gr.File(
                    label='image', file_types=['image'], type='filepath', elem_id='drop', height=140
                )
                score_thr = gr.Slider(
                    0, 1, value=0.5, step=0.01, label='minimum score', elem_id='score'
                )
                min_area = gr.Slider(
                    0, 10000, value=0, step=10, label='minimum area (px)', elem_id='area'
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
        image.change(predict, image, view, api_visibility='private')
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
    return blocks


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding='utf-8')
