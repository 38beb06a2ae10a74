"""What readers say of a view, beside what a model marked: found, missed, false.

The rule is that of the scores, see `spectjax.metrics.lesions`. H and W are rows and
columns.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spectjax.imaging.hotspots import encode_rle, number_regions
from spectjax.metrics.lesions import MIN_IOU, find_meetings


def compare_marks(
    marks: Sequence[np.ndarray],
    readers: np.ndarray,
    counts: np.ndarray,
    spacing_mm: tuple[float, float] | None,
) -> dict[str, Any]:
    """Returns what of a view's marks and lesions meets, for a page's JSON.

    Args:
        marks: masks of what was marked, bool, (H, W) each.
        readers: what they marked, bool, (H, W).
        counts: (H, W).
        spacing_mm: size of a pixel, None if unknown.

    Returns:
        `said`: in a sentence, `short`: in a few words. `rule`: what it means that two
        meet. `meets`: of each mark, a few words. `lesions`: of the readers, each with
        mask, area, counts and what became of it.
    """
    numbers, n_lesions = number_regions(readers)
    planes = np.array(
        [mask * number for number, mask in enumerate(marks, start=1)], np.int64
    ).reshape(-1, *numbers.shape)
    met, found = find_meetings(planes, numbers)
    false = len(marks) - len(set(met.tolist()))
    missed = n_lesions - len(set(found.tolist()))
    return {
        "said": f"{n_lesions - missed} of {n_lesions} lesions found, {missed} missed; "
        f"{false} of {len(marks)} marks false.",
        "rule": "A mark and a lesion meet if their intersection over union is at least "
        f"{MIN_IOU:g}.",
        "short": f"{missed} missed, {false} false",
        "meets": [
            "a lesion" if number in met else "FALSE"
            for number in range(1, len(marks) + 1)
        ],
        "lesions": list_lesions(
            readers,
            counts,
            spacing_mm,
            ["found" if n in found else "MISSED" for n in range(1, n_lesions + 1)],
        ),
    }


def list_lesions(
    readers: np.ndarray,
    counts: np.ndarray,
    spacing_mm: tuple[float, float] | None,
    said: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Returns the lesions of a mask (H, W) and, if given, what is said of each."""
    numbers, n_lesions = number_regions(readers)
    lesions = []
    for number in range(1, n_lesions + 1):
        inside = counts[numbers == number].astype(np.float64)
        pixel = spacing_mm and spacing_mm[0] * spacing_mm[1]
        lesions.append(
            {
                "mask": encode_rle(numbers == number),
                "area_px": inside.size,
                "area_mm2": pixel and inside.size * pixel,
                "counts": float(inside.sum()),
                "max_counts": float(inside.max()),
                "said": said[number - 1] if said else "",
            }
        )
    return lesions


def tell_unknown(n_marks: int, diagnosis: str) -> dict[str, Any]:
    """Returns the same where nobody outlined lesions and not all is normal."""
    return {
        "said": f"Nobody outlined this image ({diagnosis}): what was missed and what "
        "is false is not known.",
        "short": "not outlined",
        "meets": ["not known"] * n_marks,
        "lesions": [],
    }


def tell_label(truth: str, label: str, diagnosis: str) -> dict[str, Any]:
    """Returns the same of a classifier: what the label should be, and what it is."""
    verdict = "right" if truth == label else "WRONG"
    return {
        "said": f"Truth: {truth} ({diagnosis}). The label is {verdict}.",
        "short": f"label {verdict}",
        "meets": [],
        "lesions": [],
    }
