"""Version of mmentity."""

__version__ = '0.1.0'
