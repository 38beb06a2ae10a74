"""The shell of every command: flags that are paths, and one way in which it ends.

| what ended it | exit status | on stderr |
|---|---|---|
| nothing | 0 | |
| what a user can mend: `UserError`, the system (`OSError`), memory | 1 | `error: ...` |
| a bug | 70 | traceback, and a line that asks to report it |
| Ctrl-C | 130 | one line |
| `Stop` | its own | its line |

Output that nobody takes changes no result: a closed stdout or stderr, or a reader that
has gone (`| head -1`), and the work goes on.
"""

import contextlib
import io
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TextIO

from absl import app, flags

from spectjax.system.messages import Stop, UserError, make_printable
from spectjax.system.paths import read_path

# --help shows the flags that a command defines with what is here as its own.
flags.disclaim_key_flags()
BUG_STATUS = 70  # EX_SOFTWARE of sysexits.h
_INTERRUPTED = 130  # 128 + SIGINT, as shells tell of it


def run_command(
    main: Callable[[list[str]], Any],
    *,
    parse: Callable[[list[str]], list[str]] | None = None,
    stopped: str = "Stopped.",
) -> None:
    """Runs a command with absl's flags and ends the process as the module says.

    Args:
        main: takes the name of the program and what follows the flags.
        parse: parses the command line; None: `parse_flags`.
        stopped: what Ctrl-C ends with.
    """
    with end_plainly(stopped):
        app.run(main, flags_parser=parse or parse_flags)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line.

    Raises:
        UserError: if something is wrong with it.
    """
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        raise explain_flags(error) from None


def explain_flags(error: Exception) -> UserError:
    """Returns what is wrong with the command line in one line."""
    first, cause = None, error.__context__
    while cause is not None:  # absl puts words of its own around ours
        first = cause if isinstance(cause, UserError) else first
        cause = cause.__context__
    # Of a config file it tells the whole traceback; the last line says what it was.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return first or UserError(lines[-1].strip())


def refuse_arguments(argv: Sequence[str]) -> None:
    """Checks that nothing but flags was given.

    Raises:
        UserError: if something was.
    """
    if argv[1:]:
        raise UserError(f"Unexpected argument {argv[1]!r}; see --help.")


def read_paths(argv: Sequence[str]) -> list[pathlib.Path]:
    """Returns the paths after the flags.

    Raises:
        PathError: if one is none, see `read_path`.
    """
    return [read_path(text, "PATH") for text in argv[1:]]


class _PathParser(flags.ArgumentParser):
    """Makes paths of flags as soon as the command line is read."""

    syntactic_help = "a path; ~ is the home folder"

    def __init__(self, name: str) -> None:
        self._flag = f"--{name}"

    def parse(self, argument: str | pathlib.Path) -> pathlib.Path:
        return read_path(argument, self._flag)

    def flag_type(self) -> str:
        return "path"


def define_path(
    name: str,
    description: str,
    *,
    default: pathlib.Path | None = None,
    required: bool = False,
) -> flags.FlagHolder[pathlib.Path | None]:
    """Defines a flag that holds a path, or `default` where it is not given.

    Its description is for --help.
    """
    return flags.DEFINE(
        _PathParser(name),
        name,
        default,
        description,
        serializer=flags.ArgumentSerializer(),
        required=required,
    )


def define_paths(name: str, description: str) -> flags.FlagHolder[list[pathlib.Path]]:
    """Defines a flag that may be given again and again and holds a list of paths."""
    return flags.DEFINE_multi(
        _PathParser(name), flags.ArgumentSerializer(), name, [], description
    )


def define_view(
    description: str = "View of each given file (of its first detector, if it has two)"
    ", for files that do not tell it.",
) -> flags.FlagHolder[str | None]:
    """Defines --view: "anterior", "posterior" or None."""
    return flags.DEFINE_enum("view", None, ["anterior", "posterior"], description)


def define_stated() -> None:
    """Defines what is said of each file that no images.csv lists.

    --view, --region, --spacing_mm and --inverted: `spectjax.imaging.listed.found`.
    """
    define_view(
        "View of each given file (of its first detector, if it has two), for files "
        "that do not tell it, such as pictures."
    )
    flags.DEFINE_enum(
        "region",
        None,
        ["whole_body", "thorax", "chest_half"],
        "What each given file shows, whatever its header says. What is no whole body "
        "is not cropped. Default: whole_body.",
    )
    flags.DEFINE_string(
        "spacing_mm",
        "",
        "Size of a pixel in mm, or unknown; to be said of pictures that --region says "
        "to be no whole body.",
    )
    flags.DEFINE_bool(
        "inverted",
        None,
        "Whether hot is dark in each given picture. Default: its background tells.",
    )


def define_crops() -> flags.FlagHolder[pathlib.Path | None]:
    """Defines --crops, see `spectjax.imaging.listed.crops`."""
    return define_path(
        "crops",
        "A crops.csv: which flagged crops a person accepted, and boxes given by hand "
        "(docs/data.md).",
    )


def define_html() -> None:
    """Defines --html, see `spectjax.pages`."""
    flags.DEFINE_bool(
        "html",
        False,
        "Also write an HTML page of each study and an index, in the folder pages of "
        "output_dir.",
    )


def define_data_dirs() -> None:
    """Defines --data_dir and --manual_dir, see `tfds_spect.prepare.prepare`."""
    define_path("data_dir", "Folder of data sets. Default: TFDS's own.")
    text = "Folder with DICOM and LabelMe files. Default: simulated."
    define_path("manual_dir", text)


@contextlib.contextmanager
def end_plainly(stopped: str = "Stopped.") -> Iterator[None]:
    """Ends the process as the module says when the `with` block is left.

    Args:
        stopped: what Ctrl-C ends with.
    """
    outputs = _open_outputs()
    try:
        yield
    except SystemExit as end:
        if end.code:
            raise
    except Stop as stop:
        _end(str(stop), stop.status)
    except KeyboardInterrupt:
        _end(stopped, _INTERRUPTED)
    except Exception as error:
        line = describe_error(error)
        if line is None:
            for text in "".join(traceback.format_exception(error)).splitlines():
                print(make_printable(text), file=sys.stderr)
            _end(
                "error: this is a bug of spectjax. Please report the lines above; they "
                "may name files: leave out what names patients.",
                BUG_STATUS,
            )
        _end(f"error: {line}", 1)
    sys.stdout.flush()
    lost = outputs["stdout"].problem if "stdout" in outputs else None
    if lost is not None and not isinstance(lost, BrokenPipeError):
        _end(f"error: standard output: {lost.strerror}.", 1)


def describe_error(error: Exception) -> str | None:
    """Returns one line about what a user can mend, None for a bug."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in _name_jax_error(error):
        reason = str(error).strip().splitlines() or ["out of memory"]
        return make_printable(
            f"Expected more memory, found too little ({reason[0]}). End other "
            "programs, or ask for less at a time: smaller batches, fewer processes."
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return make_printable(f"{where}{error.strerror}.")
    if isinstance(error, UserError | OSError | FloatingPointError):
        return make_printable(str(error))
    return None


def _name_jax_error(error: Exception) -> str:
    """Returns the text of an error of the device, nothing of any other."""
    is_jax = type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
    return str(error) if is_jax else ""


def _end(line: str, status: int) -> NoReturn:
    print(line, file=sys.stderr, flush=True)
    raise SystemExit(status)


class _TolerantFile(io.FileIO):
    """A standard stream that no writing to it can fail; the first problem is noted."""

    problem: OSError | None = None

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            self.problem = self.problem or error
            return len(data)


def _open_outputs() -> dict[str, _TolerantFile]:
    """Makes stdout and stderr streams to which any text can be written, come what may.

    What is closed goes nowhere, and is no longer free for the next file to be opened,
    into which whoever writes to stderr would write else. A stream that was replaced
    already, as by pytest, is left alone.

    Returns:
        What is beneath them.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    files: dict[str, _TolerantFile] = {}
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        old: TextIO | None = getattr(sys, name)
        if old is not getattr(sys, f"__{name}__"):
            continue
        if old is None:
            files[name] = _TolerantFile(os.devnull, "w")
        else:
            with contextlib.suppress(OSError):
                old.flush()
            files[name] = _TolerantFile(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(files[name]),
            encoding=getattr(old, "encoding", "utf-8"),
            errors="backslashreplace",
            line_buffering=name == "stderr" or getattr(old, "line_buffering", False),
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    return files
