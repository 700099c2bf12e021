"""The error of a sample that cannot be used."""


class SampleError(ValueError):
    """One sample cannot be used; the message says which file, why and what to do.

    In training such a sample is skipped, counted and reported; in testing the
    run stops; the check of a data set collects the errors by their kind.

    Attributes:
        kind: What is wrong: of data sets, one of the kinds of
            :mod:`mmentity.preparation.report`.
    """

    def __init__(self, message: str, kind: str = 'bad-sample') -> None:
        super().__init__(message)
        self.kind = kind
