"""Which of several models is better, and by how much, on the same patients.

A resample of the bootstrap draws the same patients for all models, so that what makes
an image hard for both of a pair does not blur their difference.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spectjax.evaluation.metrics_sections import Comparison
from spectjax.metrics.intervals import Interval

Score = Callable[[np.ndarray], Mapping[str, Any]]
Bootstrap = Callable[[Sequence[str], Score], Mapping[str, Interval]]


def compare_pairs(
    scores: Mapping[str, Score],
    patients: Sequence[str],
    *,
    names: Sequence[str],
    bootstrap: Bootstrap,
    everyone: np.ndarray,
) -> list[Comparison]:
    """Returns the differences of all pairs of models, in the order given.

    Args:
        scores: of each model, a function from a resample to scores by name, one number
            or, for all resamples at once, an array.
        patients: name of the patient of each image, the same of all models.
        names: of the scores to compare.
        bootstrap: `bootstrap_patients` or `bootstrap_sums`; which resamples the scores
            take is its matter.
        everyone: the resample that has each image once.

    Returns:
        Nothing for fewer than two models.
    """
    pairs = list(itertools.combinations(scores, 2))
    if not pairs:
        return []

    def subtract(resample: np.ndarray) -> dict[str, Any]:
        found = {model: score(resample) for model, score in scores.items()}
        return {
            f"{first}/{second}/{name}": found[first][name] - found[second][name]
            for first, second in pairs
            for name in names
        }

    differences = subtract(everyone)
    intervals = bootstrap(patients, subtract)
    return [
        {
            "models": list(pair),
            "differences": {
                name: float(np.squeeze(differences["/".join((*pair, name))]))
                for name in names
            },
            "intervals": {
                name: intervals["/".join((*pair, name))].bounds for name in names
            },
        }
        for pair in pairs
    ]
