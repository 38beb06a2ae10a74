"""What goes wrong with data, told to the user in one line."""


class PrepareError(ValueError):
    """A data set that cannot be prepared or reused; the message is for the user."""
