"""The error of weights that cannot be used."""


class WeightsError(ValueError):
    """Weights that cannot be used; the message says why, and how to fix it."""
