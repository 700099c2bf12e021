"""Layers: pixel decoder, attention, association of queries, positions."""
