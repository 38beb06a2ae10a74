"""Regions that a model marks, and how sure each is to be abnormal uptake.

The highest probability in a region does not rank: it is close to 1 in most, false ones
among them. A region's score here is the probability that it is a lesion, by a logistic
regression on what a reader can check: how sure the model is at its surest place, how
large it is while it is small, and how it stands out of its surroundings. Weights are
never negative: more of a feature never makes a region less sure.

Height, width and classes are H, W and K, class 0 is background.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.imaging.hotspots import Instances
from spectjax.metrics.binary import compute_probs
from spectjax.tasks.hotspots.candidates import (
    Candidate,
    propose,
    propose_pixel,
)
from spectjax.tasks.hotspots.operation import FEATURES, Operation, Point
from spectjax.tasks.hotspots.spots import measure_spots

_MOST_AREA_MM2 = 100.0
_LEAST_PX = 2


@dataclass(frozen=True)
class ScoredRegion:
    """A region and how sure a model is that it is abnormal uptake.

    Attributes:
        category: name of its class, that of the outlines which the model learned from.
        score: probability that it is a lesion, in (0, 1), see the module.
        max_probability: calibrated, of its surest place.
        area_mm2: with the assumed area of a pixel if that is unknown.
        features: what the score is made of, by name.
        box: see `Candidate`.
        mask: its pixels, bool, (H, W).
    """

    category: str
    score: float
    max_probability: float
    area_mm2: float
    features: dict[str, float]
    box: tuple[float, float, float, float]
    mask: np.ndarray

    @property
    def area_px(self) -> int:
        """Its number of pixels."""
        return int(self.mask.sum())


@dataclass(frozen=True)
class Selection:
    """The regions that an operating point marks, and why others are left out.

    Attributes:
        marked: surest first.
        too_small: how many are below the smallest size.
        not_sure: how many are large enough, and below the point's score.
    """

    marked: list[ScoredRegion]
    too_small: int
    not_sure: int


def score_regions(
    answer: np.ndarray | Instances,
    counts: np.ndarray,
    spacing: Sequence[float] | np.ndarray | None,
    operation: Operation,
    *,
    valid: np.ndarray | None = None,
) -> list[ScoredRegion]:
    """Returns all regions that a model sees in an image, scored, surest first.

    None is left out for its size or its score, see `select_regions`.

    Args:
        answer: probabilities of the classes as the model gives them, float32,
            (H, W, K), or its instances.
        counts: that the model saw, (H, W).
        spacing: size of a pixel (row, column), mm; None or NaN if unknown.
        operation: what the model knows about its use.
        valid: pixels that show the patient, bool, (H, W); None: all.

    Raises:
        AnswerError: if the shapes do not match or a probability is not finite.
    """
    candidates = propose(answer, valid, operation.min_log_odds)
    return score_candidates(candidates, counts, spacing, operation)


def score_view(
    answer: np.ndarray | Instances,
    counts: np.ndarray,
    spacing: Sequence[float] | np.ndarray | None,
    operation: Operation,
    *,
    valid: np.ndarray | None = None,
    regions: Sequence[ScoredRegion] | None = None,
) -> float:
    """Returns how sure a model is that a view shows abnormal uptake, in [0, 1).

    It is the score of the surest region, whatever its size. A view without a region is
    given the score that its most probable pixel would have as a region of its own:
    views are ranked by that too, and most of them fall below those with a region. One
    without any instance has 0.

    Args:
        answer: see `score_regions`, as all others.
        counts: likewise.
        spacing: likewise.
        operation: likewise.
        valid: likewise.
        regions: what `score_regions` returned, should that be known.
    """
    if regions is None:
        regions = score_regions(answer, counts, spacing, operation, valid=valid)
    if not regions and not isinstance(answer, Instances):
        pixel = propose_pixel(answer, valid)
        regions = score_candidates([pixel], counts, spacing, operation)
    return regions[0].score if regions else 0.0


def score_candidates(
    candidates: Sequence[Candidate],
    counts: np.ndarray,
    spacing: Sequence[float] | np.ndarray | None,
    operation: Operation,
) -> list[ScoredRegion]:
    """Returns candidates of one image with their scores, surest first."""
    pixel_mm2 = find_pixel_area(spacing) or operation.assumed_pixel_mm2
    regions = []
    for candidate, row in zip(
        candidates, measure_features(candidates, counts, pixel_mm2), strict=True
    ):
        peak = operation.slope * candidate.peak_log_odds + operation.intercept
        regions.append(
            ScoredRegion(
                category=candidate.category,
                score=_to_probability(combine(row, operation)),
                max_probability=_to_probability(peak),
                area_mm2=float(candidate.mask.sum() * pixel_mm2),
                features=dict(zip(FEATURES, row.tolist(), strict=True)),
                box=candidate.box,
                mask=candidate.mask,
            )
        )
    return sorted(regions, key=lambda r: (-r.score, -r.area_mm2, r.box))


def select_regions(
    regions: Sequence[ScoredRegion], operation: Operation, point: Point
) -> Selection:
    """Returns which regions of an image are marked at an operating point."""
    large = [
        each for each in regions if is_large(each.area_px, each.area_mm2, operation)
    ]
    marked = [each for each in large if each.score > point.score]
    return Selection(marked, len(regions) - len(large), len(large) - len(marked))


def is_large(area_px: Any, area_mm2: Any, operation: Operation) -> Any:
    """Returns whether regions of such areas may be marked, bool; never of one pixel."""
    return (area_px >= _LEAST_PX) & (area_mm2 >= operation.min_area_mm2)


def combine(features: np.ndarray, operation: Operation) -> float:
    """Returns the log-odds of a region's score from its features, (F,).

    One that cannot be measured, NaN, counts as the average region's.
    """
    weights = np.array([operation.features[name].weight for name in FEATURES])
    means = np.array([operation.features[name].mean for name in FEATURES])
    above = np.where(np.isnan(features), 0.0, features - means)
    return float(operation.region_intercept + above @ weights)


def measure_features(
    candidates: Sequence[Candidate], counts: np.ndarray, pixel_mm2: float
) -> np.ndarray:
    """Returns what `FEATURES` names of the D candidates of an image, (D, F).

    The area counts up to 100 mm2, that of a point in an image of some 11 mm resolution:
    it tells specks from what can be seen, and beyond it large is not sure. How far a
    region stands out is NaN at the rim of the body, see `spots.measure_spots`.
    """
    spots = measure_spots(counts) if candidates else np.empty(counts.shape)
    rows = [
        (
            each.peak_log_odds,
            math.log(min(each.mask.sum() * pixel_mm2, _MOST_AREA_MM2)),
            np.fmax.reduce(spots[each.mask], initial=np.nan),
        )
        for each in candidates
    ]
    return np.array(rows, np.float64).reshape(-1, len(FEATURES))


def find_pixel_area(spacing: Sequence[float] | np.ndarray | None) -> float | None:
    """Returns the area of a pixel, mm2, None if its size is not known."""
    if spacing is None or not np.isfinite(spacing).all():
        return None
    return float(spacing[0] * spacing[1])


def _to_probability(log_odds: float) -> float:
    return float(compute_probs(np.array(log_odds)))
