"""Weight files into a model and out of it."""
