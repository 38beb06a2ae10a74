"""The Markdown that a run of the benchmark writes, and what it says of the machine."""

import dataclasses
import datetime
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.processes import Timed
from spectjax.system.machine import name_processor


@dataclasses.dataclass(frozen=True)
class Row:
    """What one framework took for one network in one mode.

    Attributes:
        labels: the words that the row begins with.
        batch_size: images of a step.
        timed: what it took.
        flops: operations of a step; None if they cannot be counted.
    """

    labels: tuple[str, ...]
    batch_size: int
    timed: Timed
    flops: int | None = None

    @property
    def rates(self) -> list[float]:
        """Images a second, a number for each repetition."""
        return [self.batch_size / seconds for seconds in self.timed.seconds]

    def flops_per_s(self) -> float | None:
        """Returns the operations a second, or None."""
        return self.flops and self.flops / statistics.median(self.timed.seconds)

    def format_spread(self) -> str:
        """Returns the smallest and the largest rate and how many there are."""
        return f"{min(self.rates):.3g}–{max(self.rates):.3g} ({len(self.rates)})"

    def format_costs(self) -> tuple[str, str]:
        """Returns the seconds of compiling, and the peak of memory in MB."""
        seconds = self.timed.facts["compile_s"]
        return f"{seconds:.1f}", f"{self.timed.peak_bytes / 1e6:.0f}"


def or_dash(value: float | None, form: str) -> str:
    """Returns a number in a format, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def lay_out(
    title: str,
    facts: Mapping[str, str],
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    notes: Iterable[str],
    *,
    words: int = 3,
) -> str:
    """Returns a Markdown section with a table, its first `words` columns words."""
    table = [head, ("---",) * words + ("--:",) * (len(head) - words), *rows]
    lines = [f"## {title}", ""]
    lines += [f"- {name}: {text}" for name, text in facts.items()]
    lines += ["", *(f"| {' | '.join(cells)} |" for cells in table), ""]
    lines += [f"- {note}" for note in notes]
    return "\n".join(lines).rstrip() + "\n"


def publish(section: str, file: pathlib.Path | None) -> None:
    """Prints a section, and adds it to a file if there is one."""
    print(section)
    if file:
        old = file.read_text() + "\n" if file.exists() else ""
        file.write_text(old + section)


def describe_run(
    versions: Mapping[str, str], device: str, cores: int, command: str
) -> dict[str, str]:
    """Returns date, machine, versions, commit and command, as the table names them.

    Args:
        versions: of the frameworks, by name.
        device: what JAX calls it.
        cores: how many each framework may use.
        command: the module that was run.
    """
    load = (
        f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": name_processor() if device == "cpu" else device,
        "processor": f"{name_processor()}, {cores} of {os.cpu_count()} cores{load}",
        "versions": ", ".join(f"{name} {text}" for name, text in versions.items()),
        "commit": describe_commit(),
        "command": f"`python -m {command} {shlex.join(sys.argv[1:])}`",
    }


def describe_commit() -> str:
    """Returns the commit of the code, marked if files differ from it, or "unknown"."""
    here = pathlib.Path(__file__).parent
    try:
        texts = [
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (
                ("rev-parse", "--short", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no"),
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return texts[0] + (" and changes" if texts[1] else "")
