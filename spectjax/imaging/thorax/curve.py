"""Curves over the rows of a frame, their fit and its derivatives ([P1] Fig. 2)."""

from dataclasses import dataclass

import numpy as np

from spectjax.imaging.thorax.body import Body


@dataclass(frozen=True)
class Curve:
    """A curve over rows with its fit and derivatives ([P1] Fig. 2).

    Attributes:
        rows: (N,) int, consecutive rows of the frame.
        counts: (N,) float, what was measured.
        fitted: (N,) float, the fit.
        first: (N,) float, first derivative of the fit, per row.
        second: (N,) float, second derivative of the fit, per row squared.
        peaks: rows where the fit has a maximum.
        valleys: rows where the fit has a minimum.
    """

    rows: np.ndarray
    counts: np.ndarray
    fitted: np.ndarray
    first: np.ndarray
    second: np.ndarray
    peaks: tuple[int, ...]
    valleys: tuple[int, ...]


def fit_curve(rows: np.ndarray, counts: np.ndarray, knot_px: float) -> Curve:
    """Fits a cubic spline with a knot every `knot_px` rows by least squares."""
    # Here, so that no command's --help need wait for scipy.interpolate.
    from scipy.interpolate import make_lsq_spline

    degree = 3
    inner = np.linspace(rows[0], rows[-1], max(2, round(len(rows) / knot_px) + 1))
    knots = np.concatenate([[rows[0]] * degree, inner, [rows[-1]] * degree])
    spline = make_lsq_spline(rows, counts, knots, degree)
    first = spline.derivative()(rows)
    turns = np.flatnonzero(np.diff(np.sign(first)) != 0)
    return Curve(
        rows=rows,
        counts=counts,
        fitted=spline(rows),
        first=first,
        second=spline.derivative(2)(rows),
        peaks=tuple(int(rows[i]) for i in turns if first[i] > 0),
        valleys=tuple(int(rows[i]) for i in turns if first[i] < 0),
    )


def count_rows(body: Body) -> Curve:
    """Stage 3: the row-count curve over the rows of the body.

    "We count the elements from the top down; the curve illustrates presence and
    intensity" ([P1]): read as the counts of each row. Each pixel is capped at the 97th
    percentile of the body, so that a full bladder or an injection site, which say
    nothing about where the trunk is, do not make peaks of their own.
    """
    rows = np.arange(body.first_row, body.last_row)
    inside = slice(body.first_row, body.last_row)
    capped = np.minimum(body.smooth[inside], np.float32(body.very_bright))
    counts = np.einsum("rc,rc->r", capped, body.mask[inside]).astype(np.float64)
    return fit_curve(rows, counts, knot_px=len(rows) / 55)
