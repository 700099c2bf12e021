"""Preset files: what they may hold, those of users, and what is said of wrong ones."""

import re

import cv2
import numpy as np
import pytest

from mmentity.apis.export import PRESETS, OutputOptions, Preset, read_preset
from mmentity.apis.export.presets import FILES, KEYS
from mmentity.utils.shipped_configs import find_config
from tests.apis.conftest import MODEL, save_scenes
from tests.conftest import ROOT

ALL_KEYS = """
model: mask2former_swin-nano_demo
crops: 1
format: [idmap, overlay, cutout]
layout: '{sequence}/ids/{stem}'
beside: '{sequence}/{format}/{stem}'
sequence: hall
score-thr: 0.25
min-area: 30
split-components: true
split-gap: 0.02
order: area
reverse: true
ids: rank
id-dtype: uint16
resize: 320x240
resize-first: true
max-side: 200
draw: contours,ids
cutout-background: blur
cutout-pad: 0.2
cutout-size: 64
contact-sheet: true
npz-key: ids
npz-tables: false
"""


@pytest.fixture
def preset_of(tmp_path):
    def read(text):
        path = tmp_path / 'my.yaml'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_preset(path)

    return read


def test_every_key(preset_of):
    written = [line.partition(':')[0] for line in ALL_KEYS.strip().splitlines()]
    assert written == list(KEYS)
    preset = preset_of(ALL_KEYS)
    expected = OutputOptions(
        formats=('idmap', 'overlay', 'cutout'),
        layout='{sequence}/ids/{stem}',
        beside='{sequence}/{format}/{stem}',
        sequence='hall',
        score_thr=0.25,
        min_area=30,
        split_components=True,
        split_gap=0.02,
        order='area',
        reverse=True,
        ids='rank',
        id_dtype='uint16',
        size=(240, 320),
        resize_first=True,
        max_side=200,
        drawn=('contours', 'ids'),
        cutout_background='blur',
        cutout_pad=0.2,
        cutout_size=64,
        sheet=True,
        npz_key='ids',
        npz_tables=False,
    )
    assert preset == Preset(expected, MODEL, 1)


def test_what_is_left_out_is_default(preset_of):
    assert preset_of('min-area: 7') == Preset(OutputOptions(min_area=7))


@pytest.mark.parametrize('name', PRESETS)
def test_shipped_presets_name_their_script_and_their_model(name):
    text = (FILES / f'{name}.yaml').read_text()
    assert 'github.com/' in text.partition('\nmodel:')[0]
    assert find_config(PRESETS[name].model).is_file()
    assert read_preset(name) is PRESETS[name]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('score_thr: 0.5', "there is no key 'score_thr'; did you mean score-thr? keys are model, "),
        ('colour: red', "there is no key 'colour'; keys are model, crops, "),
        ('score-thr: high', "score-thr is 'high'; it must be a number"),
        ('min-area: 2.5', 'min-area is 2.5; it must be a whole number'),
        ('min-area: true', 'min-area is True; it must be a whole number'),
        ('reverse: 1', 'reverse is 1; it must be true or false'),
        ('layout: 3', 'layout is 3; it must be text'),
        (
            'format: {idmap: 1}',
            "format is {'idmap': 1}; it must be names, as a list or with commas",
        ),
        ('draw: [1]', 'draw is [1]; it must be names'),
        ('resize: [640, 480]', 'resize is [640, 480]; it must be a size such as 640x480'),
        ('resize: 640', 'resize is 640; it must be a size such as 640x480'),
        ('resize: large', "resize is 'large'; it must be a size such as 640x480"),
        ('score-thr: 2', 'score-thr is 2; scores are in 0..1'),
        ('min-area: -1', 'min-area is -1; it is a number of pixels'),
        ('split-components: 8', 'split-components is 8; it must be true or false'),
        ('split-gap: 0.1', 'split-gap needs split-components'),
        ('split-components: true\nsplit-gap: 30', 'split-gap is 30; it is a share of height+width'),
        ('order: size', "order is 'size'; it must be one of score, area, position"),
        ('id-dtype: int32', "id-dtype is 'int32'; it must be one of auto, uint8, uint16"),
        ('format: [png]', "format is 'png'; it must be one of idmap, "),
        ('format: []', 'format is empty; name some of idmap, '),
        ("layout: '{scene}/{stem}'", "layout is '{scene}/{stem}'; its fields are {name}, {stem}"),
        ('max-side: 1.5e+3', 'max-side is 1500.0; it must be a whole number'),
        ('max-side: 0', 'max-side is 0; it is a length in px, at least 1'),
        ('resize-first: true', 'resize-first needs resize'),
        ('model: cropformer_hornet', "model: there is no config 'cropformer_hornet'"),
        ('crops: 5', 'crops is 5; an image has 0 to 4 corner crops'),
        ('ids: rank\nids: dense', 'ids stands twice'),
        ('', 'it holds no keys; write lines such as "score-thr: 0.5"'),
        ('- ids', 'it holds no keys'),
        ('ids: [', 'it is no yaml (while parsing a flow node'),
        (b'ids: \xff', 'it is no yaml ('),
    ],
)
def test_wrong_files_are_named_with_the_key(preset_of, tmp_path, text, message):
    start = f'preset {tmp_path / "my.yaml"}: {message}'
    with pytest.raises(ValueError, match=f'^{re.escape(start)}') as raised:
        preset_of(text)
    assert '\n' not in str(raised.value)


def test_unknown_names(tmp_path):
    with pytest.raises(FileNotFoundError, match="no preset 'gags', neither .* similar: gaga"):
        read_preset('gags')


def test_a_preset_of_the_user_on_the_command_line(predict_tool, inferencer, weights, tmp_path):
    scenes = save_scenes(tmp_path / 'hall' / 'rgb', 1)
    preset = tmp_path / 'mine.yaml'
    preset.write_text(
        f"model: {MODEL}\nreverse: true\nmin-area: 9\nlayout: '{{sequence}}/ids/{{prefix}}'\n"
    )
    options = ('--weights', weights, '--device', 'cpu')
    code = predict_tool(scenes, '--preset', preset, *options, '--out', tmp_path / 'out')
    assert code == 0
    expected = inferencer.predict(scenes / '0.png').select(0.5, 9)
    written = cv2.imread(str(tmp_path / 'out/hall/ids/0.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(written, expected.ordered('score', reverse=True).entity_map)
    # with what the network sees, too
    preset.write_text(f'{preset.read_text()}max-side: 40\nformat: overlay,idmap\n')
    code = predict_tool(scenes, '--preset', preset, *options, '--out', tmp_path / 'small')
    assert code == 0
    small = inferencer.predict(scenes / '0.png', max_side=40).select(0.5, 9)
    written = cv2.imread(str(tmp_path / 'small/idmap/hall/ids/0.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(written, small.ordered('score', reverse=True).entity_map)
    preset.write_text(preset.read_text().partition('max-side')[0])
    # what is given beside it wins, also over what it switches on
    code = predict_tool(
        scenes, '--preset', preset, '--no-reverse', *options, '--out', tmp_path / 'first'
    )
    assert code == 0
    written = cv2.imread(str(tmp_path / 'first/hall/ids/0.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(written, expected.entity_map)
    preset.write_text('min-aria: 9')
    message = predict_tool(scenes, '--preset', preset, *options, '--out', tmp_path / 'out')
    assert message.startswith(f"mmentity predict: preset {preset}: there is no key 'min-aria'")
    assert 'there is no preset' in predict_tool(scenes, '--preset', 'mine', '--out', tmp_path / 'o')


def test_every_key_and_preset_has_its_row_in_the_docs():
    page = (ROOT / 'docs/reference/presets.md').read_text()
    rows = {line.split('`')[1] for line in page.splitlines() if line.startswith('| `')}
    assert rows == {*KEYS, *PRESETS}
