"""A folder of images whose entities are hand-drawn, written in the formats of other tools."""

from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from mmentity.apis.export import OutputOptions, PredictionRun, RunOptions
from mmentity.apis.export.numbering import number_entities
from mmentity.apis.inferencer import Outcome
from mmentity.apis.inputs import ListOptions
from mmentity.structures import EntityMap
from tests.apis.conftest import make_result

SIZE = (24, 32)


def holes():
    """A ring with two holes, in one of them another entity and a part of the ring's own."""
    ids = np.zeros(SIZE, np.int32)
    ids[2:22, 3:30] = 1
    ids[4:12, 5:14] = 0
    ids[5:11, 6:13] = 2
    ids[7:9, 8:10] = 1
    ids[14:20, 16:28] = 0
    return ids


def parts():
    """Parts that touch at corners and at the border, a single pixel, and the rest."""
    ids = np.full(SIZE, 4, np.int32)
    ids[:4, :4] = ids[4:8, 4:8] = ids[8:12, :4] = 1
    ids[-5:, -6:] = ids[:3, -2:] = 2
    ids[14, 14] = 3
    return ids


def many():
    """300 entities of one to six pixels."""
    ids = np.zeros((40, 60), np.int32)
    ids[5:35, 5:55] = np.arange(1, 301).repeat(5).reshape(30, 50)
    return ids


IMAGES = {
    '7': holes(),
    '9': parts(),
    '10': np.zeros(SIZE, np.int32),
    'a b/straße 日本 "<&\'>.x': holes().T,
    'a b/many': many(),
}


class HandmadeInferencer:
    """Stands for an inferencer; images are named like their maps."""

    show_progress, has_features = False, False

    def __init__(self, classes=('entity',), maps=IMAGES):
        self.origin = {'config': 'handmade.py', 'config_sha256': 'none'}
        self.device, self.precision = 'cpu', 'fp32'
        self.classes, self.maps = classes, maps

    def result(self, name, **more):
        ids = self.maps[name]
        number = int(ids.max())
        ids = EntityMap(ids, number).ids[0]
        return make_result(ids, np.linspace(0.95, 0.55, number), name, self.classes, **more)

    def outcomes(self, images, _):
        for image in images:
            result = self.result(image.name, path=image.path, frame=image.frame)
            yield Outcome(image, result)


class Written(NamedTuple):
    """Output folder, folder of the images, the manifest, and what was asked for."""

    out: str
    images: str
    manifest: object
    options: OutputOptions

    def numbered(self, name):
        """The entities of an image, in the order and with the ids of what was written."""
        return number_entities(HandmadeInferencer().result(name), self.options)

    def id_map(self, name):
        return self.numbered(name).id_map(np.int32)


@pytest.fixture(scope='session')
def image_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('handmade') / 'images'
    for name, ids in IMAGES.items():
        path = folder / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((ids % 256).astype(np.uint8)).convert('RGB').save(path)
    return folder


@pytest.fixture
def write(image_folder, tmp_path):
    """Write the folder of images in formats."""

    def run(*formats, out='out', shard=(1, 1), skip_existing=False, inferencer=None, **options):
        outputs = OutputOptions(formats, **options)
        prediction_run = PredictionRun(
            image_folder,
            tmp_path / out,
            outputs,
            RunOptions(workers=0, shard=shard, skip_existing=skip_existing),
            ListOptions(recursive=True),
        )
        manifest = prediction_run(inferencer or HandmadeInferencer())
        return Written(tmp_path / out, image_folder, manifest, outputs)

    return run
