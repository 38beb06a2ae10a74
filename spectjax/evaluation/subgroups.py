"""Which images are scored on their own: by view, diagnosis, camera and matrix."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from spectjax.input_pipeline import Examples

KINDS = {
    "view": "views",
    "diagnosis": "diagnoses",
    "camera": "cameras",
    "matrix": "matrices",
}


def score_subgroups(
    examples: Examples, score: Callable[[np.ndarray], Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Returns scores of each group of images, by the kind of group and its name.

    Args:
        examples: N images; a kind that nobody asked the data set for has no groups.
        score: takes indices of images, int64, and returns their scores.
    """
    found: dict[str, dict[str, Any]] = {}
    patients = np.array(examples.patients)
    for kind, attribute in KINDS.items():
        values = np.array(getattr(examples, attribute))
        for value in np.unique(values):
            rows = np.flatnonzero(values == value)
            found.setdefault(kind, {})[str(value)] = {
                "n_images": len(rows),
                "n_patients": len(set(patients[rows])),
                **score(rows),
            }
    return found
