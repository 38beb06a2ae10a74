"""Weights from elsewhere: files of other programs, read without running them."""

from spectjax.system.messages import UserError


class WeightsError(UserError):
    """Weights that cannot be read or do not fit; one line for the user."""
