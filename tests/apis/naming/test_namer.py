"""Names of entities, by an encoder that knows colours."""

import json

import numpy as np
import pytest

from mmentity.apis.export import OneImage, OutputOptions, PredictionRun, RunOptions, table_of
from mmentity.apis.naming import EntityNamer, read_names_file
from mmentity.apis.tracked import TrackedRun
from tests.apis.conftest import COLOURS, MODEL, ColourEncoder, make_result, save_scenes


def squares(*colours):
    """Squares of 10 px one beside the other, each an entity, in an image of their colours."""
    ids = np.tile(np.repeat(np.arange(1, len(colours) + 1), 10), (10, 1))
    image = np.array([(0, 0, 0), *(COLOURS[c] for c in colours)], np.uint8)[ids]
    return make_result(ids, np.linspace(0.9, 0.6, len(colours)), image=image)


def test_each_entity_gets_the_best_name_and_its_share():
    encoder = ColourEncoder()
    namer = EntityNamer(['green', 'red', 'thing'], encoder, pad=0.0)
    result = squares('red', 'green', 'red')
    named = namer(result)
    assert named.naming.names.tolist() == ['red', 'green', 'red']
    # of cosines 1, 0 and 1 / sqrt(3)
    powers = np.exp(20 * np.array([1, 0, 3**-0.5]))
    assert named.naming.scores == pytest.approx(np.full(3, powers[0] / powers.sum()), rel=1e-5)
    assert named.naming.scores.dtype == np.float32
    assert encoder.texts == [f'a photo of a {name}.' for name in ('green', 'red', 'thing')]
    record = named.ordered('position', reverse=True).records()[1]
    assert (record['id'], record['name']) == (2, 'green')
    assert record['name_score'] == pytest.approx(powers[0] / powers.sum(), abs=1e-6)
    assert 'name' not in result.records()[0]
    assert named.select(0.7).naming.names.tolist() == ['red', 'green']


def test_batches_and_no_entity(monkeypatch):
    monkeypatch.setattr('mmentity.apis.naming.namer.BATCH_SIZE', 2)
    encoder = ColourEncoder()
    namer = EntityNamer(['blue', 'red'], encoder)
    result = squares('red', 'blue', 'blue')
    assert namer(result).naming.names.tolist() == ['red', 'blue', 'blue']
    assert encoder.batches == [2, 1]
    nothing = namer(result.take([]))
    assert nothing.naming.names.shape == nothing.naming.scores.shape == (0,)
    assert nothing.records() == []


def test_templates_are_averaged_at_length_one():
    encoder = ColourEncoder()
    templates = ['{}', '{} and green']
    namer = EntityNamer(['red', 'thing'], encoder, templates, pad=0.0)
    assert encoder.texts == ['red', 'thing', 'red and green', 'thing and green']
    (name,), (score,) = (
        namer(squares('green')).naming.names,
        namer(squares('green')).naming.scores,
    )
    # 'thing' is (1, 1, 1) and green
    thing = np.array([1, 1, 1]) / 3**0.5 + np.array([0, 1, 0])
    cosine = thing[1] / np.linalg.norm(thing)
    assert name == 'thing'
    assert score == pytest.approx(1 / (1 + np.exp(-20 * cosine)), rel=1e-5)


@pytest.mark.parametrize(
    ('names', 'options', 'message'),
    [
        ([], {}, 'it holds no names'),
        (['a', ' '], {}, 'name 2 is blank'),
        (['a', 'b', 'a'], {}, "'a' is name 1 and name 3; keep one"),
        (['a'], {'templates': []}, 'give a list of at least one text'),
        (['a'], {'templates': 'a {}'}, 'give a list of at least one text'),
        (['a'], {'templates': ['a photo']}, "'a photo' has 0 places for a name"),
        (['a'], {'templates': ['{} {}']}, 'has 2 places for a name'),
        (['a'], {'background': 'white'}, "background is 'white'"),
        (['a'], {'pad': -1}, 'pad is -1'),
    ],
)
def test_what_cannot_name_is_refused(names, options, message):
    with pytest.raises(ValueError, match=message):
        EntityNamer(names, ColourEncoder(), **options)


def test_an_encoder_without_numbers_is_refused():
    encoder = ColourEncoder()
    namer = EntityNamer(['red', 'blue'], encoder)
    encoder.encode_images = lambda crops: np.full((len(crops), 3), np.nan)
    with pytest.raises(ValueError, match="colours gives no numbers for entities of '0'; check"):
        namer(squares('red'))
    with pytest.raises(ValueError, match='was not kept; ask for keep_image=True'):
        namer(make_result([[1]], [0.9]))


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_a_file_of_names(tmp_path):
    path = write(tmp_path / 'names.txt', '\ufeffcar\r\n traffic light \ntree')
    assert read_names_file(path) == ('car', 'traffic light', 'tree')
    assert read_names_file(write(tmp_path / 'one.txt', 'car\n')) == ('car',)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        ('', 'names.txt: it holds no names; give at least one'),
        ('car\n\ntree\n', 'names.txt: line 2 is blank; remove it'),
        ('car\ntree\n  \n', 'names.txt: line 3 is blank'),
        ('car\ntree\ncar ', "names.txt: 'car' is line 1 and line 3; keep one of both"),
        (b'caf\xe9', 'names.txt is no text in UTF-8'),
    ],
)
def test_a_wrong_file_of_names(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        read_names_file(write(tmp_path / 'names.txt', data))
    with pytest.raises(FileNotFoundError, match=r'no file of names .*none.txt'):
        read_names_file(tmp_path / 'none.txt')


def test_a_run_writes_names(inferencer, tmp_path):
    images = save_scenes(tmp_path / 'in', 2)
    namer = EntityNamer(['red', 'green', 'blue'], ColourEncoder())
    drawn = {}
    for name in ('ids', 'names'):
        options = OutputOptions(('overlay',), score_thr=0.1, drawn=('fill', name))
        manifest = PredictionRun(images, tmp_path / name, options)(inferencer, None, namer)
        assert (manifest.written, manifest.failures) == (2, [])
        drawn[name] = (tmp_path / name / 'overlay/0.jpg').read_bytes()
    assert drawn['ids'] != drawn['names']
    record = json.loads((tmp_path / 'names/entities/0.json').read_text())
    expected = namer(inferencer.predict(images / '0.png').select(0.1))
    assert len(expected) > 1
    assert [e['name'] for e in record['entities']] == expected.naming.names.tolist()
    assert [e['name_score'] for e in record['entities']] == pytest.approx(
        expected.naming.scores.tolist(), abs=1e-6
    )
    naming = json.loads((tmp_path / 'names/manifest.json').read_text())['naming']
    assert (naming['names'], naming['encoder'], naming['background']) == (3, 'colours', 'blur')
    # other names are not mixed with those that are there
    again = PredictionRun(images, tmp_path / 'names', options, RunOptions(skip_existing=True))
    with pytest.raises(ValueError, match='made with another naming'):
        again(inferencer, None, EntityNamer(['red', 'blue'], ColourEncoder()))
    assert again(inferencer, None, namer).skipped == 2
    with pytest.raises(ValueError, match='names are to be drawn, but entities get none'):
        PredictionRun(images, tmp_path / 'other', options)(inferencer)


def test_one_image_has_names_in_its_table(inferencer, tmp_path):
    (path,) = save_scenes(tmp_path, 1).iterdir()
    namer = EntityNamer(['red', 'green', 'blue'], ColourEncoder())
    one_image = OneImage(str(path), OutputOptions(score_thr=0.1, drawn=('fill', 'names')))
    numbered, _ = one_image(inferencer, namer)
    heading, *rows = (
        [cell.strip() for cell in line.split('|')[-3:-1]]
        for line in table_of(numbered).splitlines()
        if '|' in line
    )
    assert heading == ['name', 'of names']
    naming = numbered.result.naming
    assert rows == [[n, f'{s:.3f}'] for n, s in zip(naming.names, naming.scores)]
    with pytest.raises(ValueError, match='names are to be drawn'):
        one_image(inferencer)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--template', 'a {}'], '--template without --labels'),
        (['--clip-model', 'x', '--label-background', 'keep'], '--clip-model, --label-background w'),
        (['--labels', '{folder}/twice.txt'], "'a' is line 1 and line 2"),
        (['--labels', '{folder}/none.txt'], 'there is no file of names'),
        (['--labels', '{folder}/fine.txt', '--template', 'a'], 'has 0 places for a name'),
    ],
)
def test_wrong_options_are_said_before_the_model_is_built(predict_tool, tmp_path, options, message):
    write(tmp_path / 'twice.txt', 'a\na')
    write(tmp_path / 'fine.txt', 'a')
    options = [option.replace('{folder}', str(tmp_path)) for option in options]
    (path,) = save_scenes(tmp_path / 'in', 1).iterdir()
    for place in ([], ['--out', tmp_path / 'out']):
        error = predict_tool(path, *place, '--model', MODEL, '--weights', 'none.pth', *options)
        assert message in error


def test_frames_of_a_track_have_names_and_their_video_has_none(inferencer, tmp_path):
    frames = save_scenes(tmp_path / 'in', 2)
    namer = EntityNamer(['red', 'green', 'blue'], ColourEncoder())
    options = OutputOptions(('idmap', 'overlay'), score_thr=0.1, drawn=('fill', 'names'))
    manifest = TrackedRun(frames, tmp_path / 'out', options)(inferencer, None, namer)
    assert (manifest.written, manifest.failures) == (2, [])
    records = json.loads((tmp_path / 'out/entities/1.json').read_text())['entities']
    assert {record['name'] for record in records} <= {'red', 'green', 'blue'}
    assert len(list((tmp_path / 'out/video').iterdir())) == 1
