"""A process and all that it started: how much memory they take, and their end."""

import contextlib
import os
import pathlib
import signal

_PROC = pathlib.Path("/proc")


def find_family(pid: int) -> list[int]:
    """Returns a process and its descendants, itself first; none if it is gone."""
    parents: dict[int, int] = {}
    for stat in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in brackets may hold anything.
            after = stat.read_text(errors="replace").rpartition(")")[2].split()
            if after[0] != "Z":
                parents[int(stat.parent.name)] = int(after[1])
    if pid not in parents:
        return []
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def kill(pids: list[int]) -> None:
    """SIGKILLs processes; stopped first, so that none can react to another's end."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def measure_mib(pid: int) -> float:
    """Returns the resident memory of a process, 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def count_descriptors(pid: int) -> int:
    """Returns how many files and sockets a process has open, 0 if it is gone."""
    with contextlib.suppress(OSError):
        return len(os.listdir(_PROC / str(pid) / "fd"))
    return 0


def count_threads(pid: int) -> int:
    """Returns how many threads a process has, 0 if it is gone."""
    with contextlib.suppress(OSError):
        return len(os.listdir(_PROC / str(pid) / "task"))
    return 0
