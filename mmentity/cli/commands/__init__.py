"""One module for each command: a docstring, ``add_arguments(parser)`` and ``run(args)``."""
