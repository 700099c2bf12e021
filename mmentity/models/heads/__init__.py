"""Heads: queries in, classes and masks out, and their losses."""
