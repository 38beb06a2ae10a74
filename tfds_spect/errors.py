"""What goes wrong with data, told to the user in one line."""

from spectjax.system.messages import UserError


class PrepareError(UserError):
    """A data set that cannot be prepared or reused; the message is for the user."""


class NotPreparedError(PrepareError):
    """A data set that is not where it was looked for."""
