"""Value objects that every stage of the package speaks."""

from typing import TYPE_CHECKING

from mmentity.structures.entity_map import EntityMap
from mmentity.utils.lazy import lazy_names

if TYPE_CHECKING:
    from mmentity.structures.rle_masks import RleMask, RleMasks

__all__ = ['EntityMap', 'RleMask', 'RleMasks']

# they need PyTorch
__getattr__, __dir__ = lazy_names(__name__, {'rle_masks': ('RleMask', 'RleMasks')})
