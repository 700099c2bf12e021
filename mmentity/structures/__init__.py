"""Value objects that every stage of the package speaks."""

from mmentity.structures.entity_map import EntityMap
from mmentity.structures.rle_masks import RleMask, RleMasks

__all__ = ['EntityMap', 'RleMask', 'RleMasks']
