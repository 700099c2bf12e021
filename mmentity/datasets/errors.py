"""What can be wrong with one sample."""


class SampleError(ValueError):
    """One sample cannot be used; the sentence says which file, why and what to do.

    In training such a sample is skipped, counted and reported; in testing the
    run stops.
    """
