"""How far an index of the same patient, scanned again, lies from the first one.

The numbers are of simulated patients, each scanned twice: the patient lies down again,
and the noise is new. `scripts/measure_burden.py` wrote them. What was not measured has
no interval: nothing is carried beyond the lowest and the highest.
"""

import functools
import pathlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from spectjax.system.limits import CONFIG_BYTES
from spectjax.system.schema import Each, Maybe, read_json

Extent = Literal["whole body", "thorax"]  # what was read for an index
FILE = pathlib.Path(__file__).with_name("repeatability.json")
LIMIT = 1.96  # standard deviations: 95 % of what is normally distributed
_ROW = {"counts": float, "level": float, "sd": float, "lowest": float, "highest": float}
_READ = {
    "measured": Each(Maybe((str, int))),
    "extents": Each([_ROW | {"n": int}]),
}


@dataclass(frozen=True)
class Curve:
    """The repeatability at one count level.

    Attributes:
        counts: of a view.
        levels: mean index of the pairs of each group, percent, ascending.
        sds: standard deviation of the difference of a pair, likewise.
        lowest: index among all pairs; nothing is known below.
        highest: likewise, nothing is known above.
    """

    counts: float
    levels: tuple[float, ...]
    sds: tuple[float, ...]
    lowest: float
    highest: float


@dataclass(frozen=True)
class Repeatability:
    """Standard deviations of the difference between two scans of a patient.

    Attributes:
        curves: one for each count level, ascending.
        measured: on what, as it is to be told: "patients", "seed", "commit", ...
    """

    curves: tuple[Curve, ...]
    measured: Mapping[str, str | int | None]

    def find_sd(self, percent: float, counts: Collection[float]) -> float | None:
        """Returns the standard deviation of the difference at an index.

        Args:
            percent: the index.
            counts: of each view; the smallest decides.

        Returns:
            It in percent points, None outside of what was measured.
        """
        least = min(counts, default=float("nan"))
        each = [curve.counts for curve in self.curves]
        if not each or not each[0] <= least <= each[-1]:
            return None
        upper = int(np.searchsorted(each, least))
        around = self.curves[max(upper - (each[upper] > least), 0) : upper + 1]
        if not all(curve.lowest <= percent <= curve.highest for curve in around):
            return None
        sds = [np.interp(percent, curve.levels, curve.sds) for curve in around]
        place = np.log([curve.counts for curve in around])
        return float(np.interp(np.log(least), place, sds))

    def interval(
        self, percent: float, counts: Collection[float]
    ) -> tuple[float, float] | None:
        """Returns where 95 % of the indices of other scans of the patient lie.

        It is about the scan, not about the truth: a bias is in all of them. One scan
        scatters by 1 / sqrt(2) of what the difference of two does.

        Args:
            percent: the index.
            counts: of each view; the smallest decides.

        Returns:
            Low, at least 0, and high; None outside of what was measured.
        """
        sd = self.find_sd(percent, counts)
        if sd is None:
            return None
        reach = LIMIT * sd / np.sqrt(2)
        return max(0.0, float(percent - reach)), float(percent + reach)

    def is_beyond(
        self,
        before: float,
        after: float,
        counts_before: Collection[float],
        counts_after: Collection[float],
    ) -> bool | None:
        """Returns whether an index changed more than a repeated scan shows.

        It did if two scans of an unchanged patient differ less in 95 % of cases.

        Args:
            before: the index of the first study.
            after: the index of the second one.
            counts_before: of each view of the first study; the smallest decides.
            counts_after: of each view of the second one, likewise.

        Returns:
            None if either lies outside of what was measured.
        """
        # Did nothing change, both have the level that lies between.
        level = (before + after) / 2
        sds = []
        for percent, counts in ((before, counts_before), (after, counts_after)):
            sd = self.find_sd(level, counts)
            if sd is None or self.find_sd(percent, counts) is None:
                return None
            sds.append(sd)
        return bool(abs(after - before) > LIMIT * np.sqrt(np.mean(np.square(sds))))


def read_repeatability(
    extent: Extent = "whole body", path: pathlib.Path = FILE
) -> Repeatability:
    """Reads the table that ships with the package.

    Args:
        extent: what was read for the index.
        path: the file.

    Raises:
        UserError: if the file is damaged.
    """
    document = _read(path)
    return Repeatability(
        _make_curves(document["extents"].get(extent, ())),
        document["measured"],
    )


@functools.cache
def _read(path: pathlib.Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(
        path,
        _READ,
        what="a table of repeatability",
        remedy="Install spectjax again; in a clone: git restore spectjax/bones",
        most=CONFIG_BYTES,
    )
    return found


def _make_curves(rows: Sequence[Mapping[str, float]]) -> tuple[Curve, ...]:
    """Returns the curve of each count level of a table's rows."""
    curves = []
    for counts in sorted({row["counts"] for row in rows}):
        own = sorted(
            (row for row in rows if row["counts"] == counts),
            key=lambda row: row["level"],
        )
        curves.append(
            Curve(
                counts=counts,
                levels=tuple(row["level"] for row in own),
                sds=tuple(row["sd"] for row in own),
                lowest=min(row["lowest"] for row in own),
                highest=max(row["highest"] for row in own),
            )
        )
    return tuple(curves)
