"""How well bones were found: Dice of each region in each view of each examination.

Letters: N examinations, V = 2 views, R regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.bones.regions import NAMES
from spectjax.bones.sheet import UNKNOWN, VIEWS, find_half
from spectjax.metrics.intervals import bootstrap_sums

# A region of which a view shows fewer pixels is a sliver: one pixel more or less would
# decide.
LEAST_PX = 20


@dataclass(frozen=True)
class Overlaps:
    """Pixels of the regions, int64, (N, V, R) each.

    Attributes:
        both: that are of a region and were found to be.
        true: that are of a region.
        found: that were found to be.
    """

    both: np.ndarray
    true: np.ndarray
    found: np.ndarray

    @property
    def dice(self) -> np.ndarray:
        """Of each region, (N, V, R); NaN where a view does not show it."""
        total = np.where(self.true >= LEAST_PX, self.true + self.found, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, 2 * self.both / total, np.nan)


def count_overlaps(masks: np.ndarray, found: np.ndarray) -> Overlaps:
    """Returns the overlaps of sheets; pixels that are unknown do not count.

    Args:
        masks: regions, uint8, (N, h, 2 w).
        found: what was found to be, uint8, (N, h, 2 w).
    """
    counts = np.zeros((3, len(masks), len(VIEWS), len(NAMES) + 1), np.int64)
    for row, sheet in enumerate(zip(masks, found, strict=True)):
        for number, view in enumerate(VIEWS):
            true, said = (find_half(each, view) for each in sheet)
            known = true != UNKNOWN
            true, said = true[known], said[known]
            for place, of in enumerate((true[true == said], true, said)):
                counts[place, row, number] = np.bincount(of, minlength=len(NAMES) + 1)
    return Overlaps(*counts[..., 1:])


def summarise_regions(overlaps: Overlaps, patients: Sequence[str]) -> dict[str, Any]:
    """Returns the scores of each region and view, and of all together.

    Returns:
        `by_view`: for each view and region it shows `n`, how many examinations show it,
        `dice`, the mean over them, `interval`, of that by a bootstrap over patients,
        and `pooled`, Dice of all their pixels; `mean` and `worst`: the mean and the
        least of these means.
    """
    dice = overlaps.dice
    names = [(view, name) for view in VIEWS for name in NAMES]
    flat = dice.reshape(len(dice), -1)
    shown = np.isfinite(flat)
    values = np.where(shown, flat, 0)

    def score(drawn: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (drawn @ values) / (drawn @ shown.astype(np.float64))
        return {str(place): means[:, place] for place in range(len(names))}

    intervals = bootstrap_sums(patients, score)
    by_view: dict[str, dict[str, Any]] = {view: {} for view in VIEWS}
    for place, (view, name) in enumerate(names):
        rows = shown[:, place]
        if not rows.any():
            continue
        v, r = divmod(place, len(NAMES))
        both, true, found = (
            int(each[rows, v, r].sum())
            for each in (overlaps.both, overlaps.true, overlaps.found)
        )
        by_view[view][name] = {
            "n": int(rows.sum()),
            "dice": float(flat[rows, place].mean()),
            "interval": intervals[str(place)].bounds,
            "pooled": 2 * both / (true + found),
        }
    means = [each["dice"] for found in by_view.values() for each in found.values()]
    return {
        "mean": {"dice": float(np.mean(means)) if means else float("nan")},
        "worst": {"dice": min(means, default=float("nan"))},
        "by_view": by_view,
    }
