"""Weights from elsewhere: files of other programs, read without running them."""


class WeightsError(ValueError):
    """Weights that cannot be read or do not fit; one line for the user."""
