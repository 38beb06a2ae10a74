"""Models that mark instances over all folds: average precision, and who is better.

Every image is scored once, by the run that held its patient out. The number of images
is N, of resamples of the bootstrap R.
"""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectjax.evaluation.folds import summarise_folds
from spectjax.metrics.intervals import bootstrap_sums
from spectjax.system.messages import UserError
from spectjax.tasks.hotspots.cases import SegmentationCases
from spectjax.tasks.hotspots.detection_scores import (
    LEVEL,
    RESAMPLES,
    match_kinds,
    prepare_detection_scores,
    score_detections,
    summarise_detections,
)
from spectjax.tasks.hotspots.detections import DetectionCases, join_detection_cases
from spectjax.tasks.hotspots.detections_file import read_detections

# Paths of the scores whose spread over folds and whose differences are told.
COMPARED = ("mask.AP50", "mask.AP10_50", "box.AP50", "box.AP10_50")
FILE = "detections.json"
_SEED = 0


def read_folds(
    workdirs: Sequence[pathlib.Path], scored: Sequence[SegmentationCases]
) -> list[DetectionCases]:
    """Reads the detections of the runs of one model.

    Args:
        workdirs: one run for each fold.
        scored: what the tables of the same runs hold.

    Raises:
        UserError: if a file is missing, not such a one, or of other images than the
            tables beside it.
    """
    folds = [read_detections(each / "eval" / FILE) for each in workdirs]
    for workdir, found, cases in zip(workdirs, folds, scored, strict=True):
        if found.example_ids != cases.example_ids:
            raise UserError(
                f"{workdir / 'eval' / FILE}: expected the images of cases.csv beside "
                f"it, found others. Remove {workdir / 'eval'}; the same command "
                "evaluates again."
            )
    return folds


def summarise_detector(folds: Sequence[DetectionCases]) -> dict[str, Any]:
    """Returns the scores of one model.

    Returns:
        What `summarise_detections` says of all folds together, and `folds`: mean and
        standard deviation over folds of the entries of `COMPARED`.
    """
    everyone = summarise_detections(join_detection_cases(folds))
    spread = summarise_folds([_pick(score_detections(each)) for each in folds])
    return everyone | {"folds": spread}


def compare_detectors(cases: Mapping[str, DetectionCases]) -> list[dict[str, Any]]:
    """Returns the differences of all pairs of models, in the order given.

    A resample draws the same patients for both, as in
    `spectjax.tasks.hotspots.comparison`.

    Args:
        cases: what each model detected in the same images in the same order.

    Returns:
        For each pair `models`, two names; `differences`, first minus second, of the
        entries of `COMPARED`; and `intervals`, 95 %, [low, high] of each.
    """
    pairs = list(itertools.combinations(cases, 2))
    if not pairs:
        return []
    scores = {
        name: prepare_detection_scores(match_kinds(each))
        for name, each in cases.items()
    }

    def subtract(drawn: np.ndarray) -> dict[str, np.ndarray]:
        found = {name: score(drawn) for name, score in scores.items()}
        return {
            _name(pair, path): found[pair[0]][path] - found[pair[1]][path]
            for pair in pairs
            for path in COMPARED
        }

    first = next(iter(cases.values()))
    differences = subtract(np.ones((1, len(first))))
    intervals = bootstrap_sums(
        first.patients, subtract, seed=_SEED, resamples=RESAMPLES, level=LEVEL
    )
    return [
        {
            "models": list(pair),
            "differences": {
                path: float(differences[_name(pair, path)][0]) for path in COMPARED
            },
            "intervals": {
                path: [bounds.low, bounds.high]
                for path in COMPARED
                for bounds in [intervals[_name(pair, path)]]
            },
        }
        for pair in pairs
    ]


def _name(pair: Sequence[str], path: str) -> str:
    return "/".join((*pair, path))


def _pick(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns the entries of `COMPARED`."""
    return {
        path: scores[kind][name]
        for path in COMPARED
        for kind, name in [path.split(".")]
    }
