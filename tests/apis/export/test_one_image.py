"""``mmentity predict photo.jpg``: a table, and two files beside the image."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmentity.apis.export import OneImage
from mmentity.cli import main
from tests.apis.conftest import MODEL, save_scenes


@pytest.fixture
def photo(tmp_path):
    save_scenes(tmp_path, 1)
    (path,) = tmp_path.iterdir()
    return path


def test_a_table_and_two_files(photo, weights, inferencer, capsys):
    options = ('--model', MODEL, '--weights', str(weights), '--device', 'cpu')
    assert main(['predict', str(photo), *options, '--score-thr', '0.1']) == 0
    *table, id_map, overlay = capsys.readouterr().out.strip().splitlines()
    assert {str(path) for path in photo.parent.iterdir()} == {str(photo), id_map, overlay}
    assert (id_map, overlay) == tuple(
        str(photo.with_suffix(suffix)) for suffix in ('.entities.png', '.overlay.jpg')
    )
    expected = inferencer.predict(photo).select(score_thr=0.1)
    assert len(expected) > 1
    ids = cv2.imread(id_map, cv2.IMREAD_UNCHANGED)
    assert np.array_equal(ids, expected.entity_map)
    assert f'{len(expected)} entities' in table[0]
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in table[3:-1]]
    assert rows == [
        [str(k + 1), f'{score:.3f}', f'{area:,}', ' '.join(map(str, box))]
        for k, (score, area, box) in enumerate(
            zip(expected.scores, expected.areas, expected.boxes_xyxy_px.tolist())
        )
    ]
    with Image.open(overlay) as drawn, Image.open(photo) as image:
        assert drawn.size == image.size


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{folder}'], 'is no file; give the path of one image, or --out'),
        (['{photo}', '{photo}'], 'give one image, or --out'),
        ([], 'give one image, or --out'),
        (['{photo}', '--preset', 'maskclustering'], '--preset without --out'),
        (['{photo}', '--recursive', '--contact-sheet'], '--recursive, --contact-sheet without'),
        (['{folder}/none.jpg'], 'none.jpg is no file'),
    ],
)
def test_what_needs_a_folder_is_said_before_the_work(photo, arguments, message, capsys):
    names = {'folder': photo.parent, 'photo': photo}
    command = ['predict', *(argument.format(**names) for argument in arguments)]
    # weights that are not there would be the next error
    assert main([*command, '--weights', 'none.pth']) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert list(photo.parent.iterdir()) == [photo]


def test_an_image_that_cannot_be_used_leaves_nothing(tmp_path, inferencer):
    (tmp_path / 'cut.jpg').write_bytes(b'no image')
    with pytest.raises(ValueError, match='cut.jpg'):
        OneImage(str(tmp_path / 'cut.jpg'))(inferencer)
    assert [path.name for path in tmp_path.iterdir()] == ['cut.jpg']


@pytest.mark.parametrize(
    ('given', 'changed'),
    [
        (['--max-side', '40'], {'max_side': 40}),
        (['--resize', '32x24', '--resize-first'], {'size': (24, 32)}),
    ],
)
def test_what_the_network_sees(photo, weights, inferencer, given, changed):
    options = ('--model', MODEL, '--weights', str(weights), '--device', 'cpu')
    assert main(['predict', str(photo), *options, *given]) == 0
    written = cv2.imread(str(photo.with_suffix('.entities.png')), cv2.IMREAD_UNCHANGED)
    expected = inferencer.predict(photo, **changed).select(0.5)
    assert np.array_equal(written, expected.entity_map)
    assert not np.array_equal(written, inferencer.predict(photo).select(0.5).entity_map)
