"""Panoptic heads: the official class order is that of the category ids."""

import torch

from mmentity.checkpoints.key_map import classes_by_id, things_before_stuff
from mmentity.datasets.categories import panoptic_categories


def test_row_of_each_category_follows_its_id():
    ids = sorted(category.id for category in panoptic_categories())
    official = torch.tensor([*ids, -1])
    ours = things_before_stuff(official)
    assert ours.tolist() == [*(category.id for category in panoptic_categories()), -1]
    assert not torch.equal(ours, official)
    assert torch.equal(classes_by_id(ours), official)


def test_weights_move_with_their_class_and_other_heads_stay():
    weight = torch.rand(351, 8)
    assert torch.equal(classes_by_id(things_before_stuff(weight)), weight)
    for classes in (1, 150, 206):
        weight = torch.rand(classes + 1, 8)
        assert things_before_stuff(weight) is weight
        assert classes_by_id(weight) is weight
