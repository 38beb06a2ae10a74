"""Which code runs, and on which processor."""

import pathlib
import platform
import subprocess

_HERE = pathlib.Path(__file__).parent


def find_commit() -> str | None:
    """Returns the commit of the clone that this is, None where it is none.

    It ends in "-dirty" if tracked files differ from it.
    """
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        # A clone of something else may hold the environment that this is installed in.
        for command in (
            ["git", "ls-files", "--error-unmatch", "__init__.py"],
            describe,
        ):
            found = subprocess.run(
                command, cwd=_HERE, capture_output=True, text=True, check=True
            )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def name_processor() -> str:
    """Returns the name of the processor, or of its kind."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
