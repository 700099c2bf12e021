"""Pictures and plots."""

from mmentity.visualization.entity_visualizer import EntityVisualizer

__all__ = ['EntityVisualizer']
