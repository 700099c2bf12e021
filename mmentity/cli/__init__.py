"""The command line: one parser, one error handler, one exit code."""

from mmentity.cli.program import main

__all__ = ['main']
