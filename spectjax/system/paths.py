"""From the text of a flag to a path: what a shell leaves undone, and what is no path.

Imports nothing but the standard library, so that every room may use it.
"""

import os
import pathlib
import re

from spectjax.system.messages import UserError

# Of an address, as RFC 3986 has it: gs://, s3://, https://, file:// ...
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")

_MOST_SHOWN = 200  # characters of what cannot be a path


class PathError(UserError):
    """A text that names no place on a disk; one line for the user."""


def read_path(text: str | os.PathLike[str], flag: str) -> pathlib.Path:
    """Returns the path that a user has typed.

    `~` and `~user` at its beginning are the home folders; every other character stands
    for itself. What `read_path` has returned may be given to it again.

    Args:
        text: as typed.
        flag: what it was typed for, as in `--workdir`.

    Raises:
        PathError: the text is empty, an address such as `gs://bucket`, longer than the
            system takes, or names a home that there is not.
    """
    text = os.fspath(text)
    shown = text if len(text) < _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    if not text:
        raise PathError(f"{flag}: expected a path, found nothing after it.")
    scheme = _SCHEME.match(text)
    if scheme:
        raise PathError(
            f"{flag}={shown}: expected a path on a disk of this computer, found an "
            f"address ({scheme.group()}). Copy the files here, or mount the place."
        )
    # Not pathlib's: to that, the folder ./~ is the home as well.
    path = pathlib.Path(os.path.expanduser(text))
    user = text.partition("/")[0]
    homeless = user == "~" and os.environ.get("HOME") == ""  # that would be the root
    if text.startswith("~") and (homeless or str(path).startswith("~")):
        raise PathError(
            f"{flag}={shown}: expected the home folder of a user, found none for "
            f"{user}. Give the whole path; a folder whose name begins so is ./{shown}."
        )
    if str(path).startswith("~"):
        path = path.absolute()  # lest a library takes it for a home
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # whoever opens it will tell
    except (OSError, ValueError) as error:
        # Too long a name, a NUL byte, a character that the system cannot write.
        reason = getattr(error, "strerror", None) or error
        raise PathError(
            f"{flag}={shown}: expected a path that the system takes, found one that it "
            f"refuses ({reason})."
        ) from None
    return path
