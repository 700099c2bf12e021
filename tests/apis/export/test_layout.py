"""The pattern language of output files."""

import pytest

from mmentity.apis.export import OutputOptions
from mmentity.apis.export.file_names import files_of
from mmentity.apis.export.layout import DEFAULT, build_patterns, glob_of
from mmentity.apis.inputs import InputImage

IMAGE = InputImage('hall/color/f-01.color', '/data/hall/color/f-01.color.jpg')
FRAME = InputImage('walk/000012', '/data/clips/walk.mp4', 12)


@pytest.mark.parametrize(
    ('field', 'of_image', 'of_frame'),
    [
        ('name', 'hall/color/f-01.color', 'walk/000012'),
        ('stem', 'f-01.color', '000012'),
        ('frame', 'f-01', '000012'),
        ('suffix', 'jpg', 'mp4'),
        ('parent', 'color', 'walk'),
        ('sequence', 'hall', 'walk'),
        ('sequence_folder', 'hall', 'walk'),
    ],
)
def test_fields(field, of_image, of_frame):
    options = OutputOptions(layout=f'x/{{{field}}}_y.png')
    for image, value in ((IMAGE, of_image), (FRAME, of_frame)):
        files = files_of(image, options)
        assert files['idmap'] == f'x/{value}_y.png'
        assert files['sidecar'] == f'entities/x/{value}_y.json'


def test_the_format_is_a_field():
    for suffix in ('', '.npz'):
        options = OutputOptions(('npz', 'idmap'), layout='{sequence}/{format}/{stem}' + suffix)
        assert files_of(IMAGE, options) == {
            'npz': 'hall/npz/f-01.color.npz',
            'idmap': 'hall/idmap/f-01.color.png',
            'sidecar': 'hall/entities/f-01.color.json',
        }


def test_the_default():
    patterns = build_patterns('overlay', DEFAULT, '')
    assert patterns['overlay'] == 'overlay/{name}.jpg'
    assert patterns['cutout'] == 'cutout/{name}'
    assert patterns['sheet'] == 'contact_sheet/entities/{name}.jpg'
    assert glob_of(patterns['sidecar']) == 'entities/**/*.json'


@pytest.mark.parametrize(
    ('layout', 'message'),
    [
        ('{sequenze}/{frame}', 'its fields are {name}, {stem}'),
        ('{name:>4}', 'its fields are'),
        ('{name', "expected '}'"),
        ('{{name}}', 'braces are around fields only'),
        ('/abs/{name}', 'a path below --out'),
        ('../{name}', 'a path below --out'),
        ('maps/all.png', 'all images go to one file'),
        ('{format}/{name}.json', 'it places idmap, of which files end in .png'),
        ('{name}.npz', 'it places idmap, of which files end in .png'),
    ],
)
def test_wrong_patterns_are_named(layout, message):
    with pytest.raises(ValueError, match='layout is') as caught:
        OutputOptions(layout=layout)
    assert message in str(caught.value)


def test_a_pattern_beside_needs_the_format():
    with pytest.raises(ValueError, match=r'it needs \{format\}'):
        OutputOptions(beside='{name}')


@pytest.mark.parametrize(
    ('pattern', 'path'),
    [
        ('entities/{name}.json', 'entities/a/b/0.json'),
        ('{sequence_folder}/output/entities/{frame}.json', 'A/A/output/entities/0.json'),
        ('entities/x[1]/{parent}_{name}_y.json', 'entities/x[1]/p_a/b_y.json'),
    ],
)
def test_sidecars_are_found_again(tmp_path, pattern, path):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text('{}')
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.glob(glob_of(pattern))] == [path]
