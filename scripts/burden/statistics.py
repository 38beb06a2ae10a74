"""Numbers of two series of indices: agreement, repeatability and errors.

N is the number of pairs; everything is in percent points but for r, slopes, Lin's
concordance and the coefficient of variation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spectjax.metrics.burden import measure_agreement
from spectjax.metrics.intervals import bootstrap_sums

# Upper ends of the groups of Anand et al. (J Nucl Med 2016;57:41), by the mean of a
# pair: about 0.5, 1, 3, 5 and 10 %; and one for what is next to nothing.
GROUPS = {"0": 0.1, "0.5": 0.75, "1": 2.0, "3": 4.0, "5": 7.0, "10": np.inf}


def describe_agreement(
    truth: Sequence[float], found: Sequence[float], patients: Sequence[str]
) -> dict[str, Any]:
    """Returns how well N indices agree with the true ones.

    Pairs of which one is not known are left out; of bias, limits and concordance those
    of two zeros too, see `measure_agreement`.

    Args:
        truth: the true indices, (N,).
        found: the measured ones.
        patients: whose they are; the bootstrap draws patients.

    Returns:
        n; r, Pearson's; slope and intercept of the regression of the found index on the
        true one; slope_origin, of the line through the origin; bias, sd, low, high and
        concordance; and 95 % intervals of r and of both slopes.
    """
    x, y = np.asarray(truth, np.float64), np.asarray(found, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    names = [name for name, used in zip(patients, known, strict=True) if used]
    agreement = measure_agreement(x, y)
    once = _fit(x, y, np.ones((1, len(x))))
    result: dict[str, Any] = {key: float(value[0]) for key, value in once.items()}
    result |= vars(agreement) | {"n": len(x), "n_marked": agreement.n, "intervals": {}}
    if len(x) > 2:
        drawn = bootstrap_sums(names, lambda drawn: _fit(x, y, drawn))
        result["intervals"] = {key: each.bounds for key, each in drawn.items()}
    return result


def _fit(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Returns r, slope and intercept, and the slope through the origin, each (R,).

    Args:
        x: the true values, (N,).
        y: the measured ones.
        drawn: how often each pair counts, in each of R samples, (R, N).
    """
    n, x1, y1, x2, y2, xy = (
        drawn @ each for each in (np.ones(len(x)), x, y, x * x, y * y, x * y)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        # Sums of squares around the means; what is left of equal values is rounding.
        xx, yy = (
            np.where(square - total**2 / n > 1e-9 * square, square - total**2 / n, 0)
            for square, total in ((x2, x1), (y2, y1))
        )
        both = xy - x1 * y1 / n
        slope = np.where(xx > 0, both / xx, np.nan)
        return {
            "r": np.where(xx * yy > 0, both / np.sqrt(xx * yy), np.nan),
            "slope": slope,
            "intercept": (y1 - slope * x1) / n,
            "slope_origin": np.where(x2 > 0, xy / x2, np.nan),
        }


def describe_repeats(
    first: Sequence[float], again: Sequence[float]
) -> list[dict[str, Any]]:
    """Returns the repeatability of N pairs of scans, by the mean of a pair.

    Returns:
        Of each group of `GROUPS` that has pairs: its name as "group", n; level, the
        mean index, with the lowest and the highest index; mean and sd of "again minus
        first"; rms, the root of the mean squared difference, which is what sd becomes
        where two scans stand for each other; and cv, the mean over pairs of the
        standard deviation within the pair over its mean, percent.
    """
    x, y = np.asarray(first, np.float64), np.asarray(again, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    means, differences = (x + y) / 2, y - x
    rows, below = [], -np.inf
    for group, highest in GROUPS.items():
        inside = (means > below) & (means <= highest)
        below = highest
        if not inside.any():
            continue
        d, level = differences[inside], means[inside]
        both = np.concatenate([x[inside], y[inside]])
        some = level > 0
        spread = np.abs(d[some]) / np.sqrt(2) / level[some]
        rows.append(
            {
                "group": group,
                "n": len(d),
                "level": float(level.mean()),
                "lowest": float(both.min()),
                "highest": float(both.max()),
                "mean": float(d.mean()),
                "sd": float(d.std(ddof=1)) if len(d) > 1 else float("nan"),
                "rms": float(np.sqrt(np.mean(d**2))),
                "cv": float(100 * spread.mean()) if some.any() else float("nan"),
            }
        )
    return rows


def describe_errors(truth: Sequence[float], found: Sequence[float]) -> dict[str, Any]:
    """Returns mean and standard deviation of "found minus true", and of its size."""
    error = np.asarray(found, np.float64) - np.asarray(truth, np.float64)
    error = error[np.isfinite(error)]
    several = len(error) > 1
    return {
        "n": len(error),
        "mean": float(error.mean()) if len(error) else float("nan"),
        "sd": float(error.std(ddof=1)) if several else float("nan"),
        "mean_size": float(np.abs(error).mean()) if len(error) else float("nan"),
        "sd_size": float(np.abs(error).std(ddof=1)) if several else float("nan"),
    }
