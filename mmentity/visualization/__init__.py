"""Drawings of images with their entities, and plots."""

from typing import TYPE_CHECKING

from mmentity.utils.lazy import lazy_names

if TYPE_CHECKING:
    from mmentity.visualization.entity_visualizer import EntityVisualizer
    from mmentity.visualization.semantic_visualizer import SemanticVisualizer

__all__ = ['EntityVisualizer', 'SemanticVisualizer']

# they need OpenMMLab, and the drawing of results does not
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        'entity_visualizer': ('EntityVisualizer',),
        'semantic_visualizer': ('SemanticVisualizer',),
    },
)
