"""Drawn maps, images whose colours are ids, and a stand-in that reads them back."""

import copy

import numpy as np
import pytest
from PIL import Image

from mmentity.apis.inferencer import Outcome
from mmentity.structures import EntityMap
from mmentity.structures.id_map import colours_of_ids, ids_of_colours
from tests.apis.conftest import make_result


@pytest.fixture
def oracle(inferencer):
    """Make inferencers that find the entities that the colours of an image name.

    ``jitter`` moves what a tile sees by up to so many px, another way for each;
    ``stop_after`` raises after so many tiles.
    """

    def make(jitter=0, stop_after=None, score=None):
        stand_in = copy.copy(inferencer)
        stand_in.seen = []

        def outcomes(images, options):
            for image in images:
                if len(stand_in.seen) == stop_after:
                    raise KeyboardInterrupt
                stand_in.seen.append(image.name)
                yield Outcome(image, predict(image))

        def predict(image):
            ids = ids_of_colours(image.content[..., ::-1])
            rng = np.random.default_rng(len(stand_in.seen))
            if jitter:
                y, x = rng.integers(-jitter, jitter + 1, 2)
                ids = np.pad(ids, jitter, mode='edge')
                ids = ids[jitter + y :, jitter + x :][: image.content.shape[0]]
                ids = ids[:, : image.content.shape[1]]
            known = np.setdiff1d(ids, [0])
            entities = EntityMap.from_segment_ids(ids, rng.permutation(known))
            number = entities.num_entities
            scores = np.linspace(0.9, 0.6, number) if score is None else np.full(number, score)
            return make_result(entities.ids[0], scores, image.name)

        stand_in.outcomes = outcomes
        return stand_in

    return make


def save_ids(ids, path, **options):
    """Save a map as an image of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours_of_ids(ids)).save(path, **options)
    return path


def blobs(height, width, number, seed=0):
    """A map of regions around random centres, of which every fifth is no entity."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (number, 2)) * (height, width)
    y, x = np.mgrid[:height, :width]
    distances = [np.hypot(y - cy, x - cx) for cy, cx in centres]
    ids = np.argmin(distances, axis=0) + 1
    ids[ids % 5 == 0] = 0
    return ids.astype(np.int32)


def partition(ids):
    """The map with ids in the order of their first pixels, to compare maps in any numbering."""
    flat = ids.ravel()
    known, firsts, places = np.unique(flat, return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(firsts)) + 1
    numbers[known == 0] = 0
    return numbers[places].reshape(ids.shape)
