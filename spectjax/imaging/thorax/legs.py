"""Stage 3 of [P2]: where the legs begin, and how wide they are side by side.

Rows and columns are pixels of the whole-body frame.
"""

import numpy as np

from spectjax.imaging.thorax.body import Body


def find_legs(body: Body) -> int:
    """Stage 3: the first row where a dark gap stands between two bright thighs.

    [P1] reads the beginning of the legs off the third valley of the curve. That valley
    is flat and moves with noise by tens of rows; the gap that causes it does not. Where
    the thighs touch, or where there is one leg only, the crotch is taken to be at 0.525
    of the body's length, as it is within 0.02 in the phantom and in a real scan.
    """
    length = body.length
    rows = slice(
        body.first_row + round(0.46 * length), body.first_row + round(0.57 * length)
    )
    gaps = _find_gaps(body, rows)
    reach = round(0.065 * length)
    columns = gaps[:, None] + np.arange(-reach, reach + 1)
    inside = np.clip(columns, 0, body.smooth.shape[1] - 1)
    thighs = np.take_along_axis(body.smooth[rows], inside, axis=1)
    # A hand with the injection in it is no thigh.
    thighs = np.minimum(thighs, np.float32(body.bright))
    brightest = np.minimum(
        thighs[:, : reach + 1].max(axis=1), thighs[:, reach:].max(axis=1)
    )
    apart = np.flatnonzero(thighs[:, reach] < 0.25 * brightest)
    if apart.size:
        return rows.start + int(apart[0])
    return body.first_row + round(0.525 * length)


def measure_legs(body: Body, legs: int) -> float:
    """Returns the median distance between the outer edges of both thighs, in pixels.

    Hands beside the thighs or a bag between them would mislead: the width is kept
    within 0.164 and 0.196 of the body's length, the range of the phantom's rib cages;
    that of a real scan has 0.18.
    """
    length = body.length
    rows = slice(legs + round(0.03 * length), legs + round(0.08 * length), 3)
    widths = [
        _outer_edge(inside[:gap][::-1]) + _outer_edge(inside[gap + 1 :])
        for inside, gap in zip(body.mask[rows], _find_gaps(body, rows), strict=True)
    ]
    middle = float(np.median(widths)) if widths else 0.0
    return float(np.clip(middle, 0.164 * length, 0.196 * length))


def _find_gaps(body: Body, rows: slice) -> np.ndarray:
    """Returns the darkest column near the middle of each row, int, (R,)."""
    counts = body.smooth[rows] * body.mask[rows]
    columns = np.arange(counts.shape[1])
    total = np.maximum(counts.sum(axis=1), 1e-6)
    centre = np.rint(counts @ columns.astype(np.float32) / total).astype(int)
    reach = round(0.03 * body.length)
    near = np.clip(
        centre[:, None] + np.arange(-reach, reach + 1), 0, counts.shape[1] - 1
    )
    darkest = np.take_along_axis(counts, near, axis=1).argmin(axis=1)
    return near[np.arange(len(near)), darkest]


def _outer_edge(inside: np.ndarray) -> int:
    """Returns where the first run of True in a row ends, 0 if there is none."""
    if not inside.any():
        return 0
    start = int(inside.argmax())
    outside = np.flatnonzero(~inside[start:])
    return start + int(outside[0]) if outside.size else inside.size
