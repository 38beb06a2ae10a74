"""What a user is told: one printable line that fits a screen.

Imports nothing but the standard library, so that every room may use it.
"""

from collections.abc import Iterable

DISCLAIMER = "Research software, not a medical device."
SYNTHETIC = "SYNTHETIC DATA: simulated in whole or in part."
MAX_CHARACTERS = 1600  # twenty lines of eighty


class UserError(ValueError):
    """What a user can mend: its text is one line with the remedy.

    What a file holds, and its name, may be part of the text: `make_printable` keeps
    both from breaking the line, steering a terminal or filling it.
    """

    def __init__(self, text: str) -> None:
        """Takes the text for the user."""
        super().__init__(make_printable(text))


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raises UserError if a name is none of those that are known."""
    if name not in (names := list(known)):
        raise UserError(f"Unknown {what} {name!r}; known: {', '.join(names)}.")


class Stop(Exception):
    """The end of a command that was asked to stop: its text is one line.

    Attributes:
        status: exit status.
    """

    def __init__(self, text: str, status: int) -> None:
        """Takes the text for the user and the exit status."""
        super().__init__(make_printable(text))
        self.status = status


def make_printable(text: str) -> str:
    r"""Returns one line of at most `MAX_CHARACTERS` characters, all printable.

    Control characters, line breaks, marks of writing direction and the bytes of names
    that are not UTF-8 are escaped as in `\n`, `\x1b`, `\u202e`, `\udcff`. Of a longer
    text the middle is left out, since the remedy stands at its end.
    """
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
    if len(shown) <= MAX_CHARACTERS:
        return shown
    kept = MAX_CHARACTERS // 2 - 4
    return f"{shown[:kept]} [...] {shown[-kept:]}"


class ConfigError(UserError):
    """A configuration, or a run's, that cannot be used; one line for the user."""
