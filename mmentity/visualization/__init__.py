"""Drawings of images with their entities, and plots."""

from mmentity.visualization.entity_visualizer import EntityVisualizer

__all__ = ['EntityVisualizer']
