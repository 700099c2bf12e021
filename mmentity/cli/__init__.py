"""The command line: one parser, one error handler, one exit code."""
