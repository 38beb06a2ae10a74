"""What a scenario tells."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: was done.
        seen: came of it.
        is_fault: whether that must not be.
    """

    what: str
    seen: str
    is_fault: bool
