"""Drawings of images with their entities, and plots."""

from mmentity.visualization.entity_visualizer import EntityVisualizer
from mmentity.visualization.semantic_visualizer import SemanticVisualizer

__all__ = ['EntityVisualizer', 'SemanticVisualizer']
