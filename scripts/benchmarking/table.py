"""The Markdown that a run of the benchmark writes, and what it says of the machine."""

import dataclasses
import datetime
import os
import pathlib
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence

_HEAD = (
    "model",
    "mode",
    "by",
    "images/s",
    "range",
    "times torch",
    "GFLOP/s",
    "of peak",
    "compile s",
    "peak MB",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One model and mode, run by one framework.

    Attributes:
        model: its name.
        mode: `train` or `inference`.
        by: framework and how it ran.
        images_per_s: one value for each repetition.
        times_torch: speed relative to the fastest PyTorch peer; None without one.
        flops_per_s: achieved, or None if operations cannot be counted.
        compile_s: time to trace and compile, or of the first call above the second's.
        peak_bytes: most memory in use.
    """

    model: str
    mode: str
    by: str
    images_per_s: list[float]
    times_torch: float | None
    flops_per_s: float | None
    compile_s: float | None
    peak_bytes: int

    def cells(self, peak_flops_per_s: float) -> tuple[str, ...]:
        """Returns the row's texts, one for each column."""
        rate = self.flops_per_s
        low, high = min(self.images_per_s), max(self.images_per_s)
        return (
            self.model,
            self.mode,
            self.by,
            f"{statistics.median(self.images_per_s):.4g}",
            f"{low:.3g}–{high:.3g} ({len(self.images_per_s)})",
            _or_dash(self.times_torch, ".2f"),
            _or_dash(rate and rate / 1e9, ".4g"),
            _or_dash(rate and rate / peak_flops_per_s, ".0%"),
            _or_dash(self.compile_s, ".1f"),
            f"{self.peak_bytes / 1e6:.0f}",
        )


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def write_section(
    title: str,
    facts: Mapping[str, str],
    rows: Iterable[Row],
    notes: Iterable[str],
    *,
    peak_flops_per_s: float,
) -> str:
    """Returns the Markdown of one run on a machine with that matrix product."""
    facts = {**facts, "matrix product": f"{peak_flops_per_s / 1e9:.4g} GFLOP/s"}
    cells = [row.cells(peak_flops_per_s) for row in rows]
    return lay_out(title, facts, _HEAD, cells, notes, words=3)


def lay_out(
    title: str,
    facts: Mapping[str, str],
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    notes: Iterable[str],
    *,
    words: int,
) -> str:
    """Returns a Markdown section with a table, its first `words` columns words."""
    table = [head, ("---",) * words + ("--:",) * (len(head) - words), *rows]
    lines = [f"## {title}", ""]
    lines += [f"- {name}: {text}" for name, text in facts.items()]
    lines += ["", *(f"| {' | '.join(cells)} |" for cells in table), ""]
    lines += [f"- {note}" for note in notes]
    return "\n".join(lines).rstrip() + "\n"


def describe_run(
    versions: Mapping[str, str], device: str, cores: int
) -> dict[str, str]:
    """Returns date, machine, versions and commit, as the table names them."""
    load = (
        f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": _processor() if device == "cpu" else device,
        "processor": f"{_processor()}, {cores} of {os.cpu_count()} cores{load}",
        "versions": ", ".join(f"{name} {text}" for name, text in versions.items()),
        "commit": _commit(),
    }


def _processor() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
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
