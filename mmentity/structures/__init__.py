"""Value objects that every stage of the package speaks."""

from mmentity.structures.entity_map import EntityMap

__all__ = ['EntityMap']
