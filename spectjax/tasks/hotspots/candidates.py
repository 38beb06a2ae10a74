"""What may be a hotspot in an image: regions of probable pixels, or instances.

Of a model that marks instances, its instances are the regions, and their own scores
stand for the probabilities. Height, width and classes are H, W and K, class 0 is
background.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spectjax.imaging.hotspots import (
    CLASS_NAMES,
    Instances,
    bound_mask,
    check_finite,
    find_hotspots,
)
from spectjax.tasks.hotspots.instance_hotspots import select_hotspots

# Beyond it a probability is rounded: those of a float32 and of its softmax.
_MOST_LOG_ODDS = 20.0
SMOOTHED_PX = 3  # side of the square over which images are averaged


@dataclass(frozen=True)
class Candidate:
    """What may be a hotspot.

    Attributes:
        category: name of its class.
        mean_log_odds: mean of its pixels', or an instance's.
        peak_log_odds: highest of its pixels', averaged over squares of `SMOOTHED_PX`
            pixels a side, or an instance's.
        box: (y0, x0, y1, x1), pixels: the tightest one, or an instance's own.
        mask: its pixels, bool, (H, W).
    """

    category: str
    mean_log_odds: float
    peak_log_odds: float
    box: tuple[float, float, float, float]
    mask: np.ndarray


def propose(
    answer: np.ndarray | Instances,
    valid: np.ndarray | None = None,
    min_log_odds: float = 0.0,
) -> list[Candidate]:
    """Returns what may be a hotspot in an image: regions, or instances.

    Args:
        answer: see `score_regions`.
        valid: pixels that show the patient, bool, (H, W); None: all.
        min_log_odds: what those of a region's pixels must exceed; all instances are
            candidates.

    Raises:
        AnswerError: if the shapes do not match or a number is not finite.
    """
    if isinstance(answer, Instances):
        return _propose_instances(answer, valid)
    return propose_regions(answer, valid, min_log_odds)


def propose_regions(
    probabilities: np.ndarray,
    valid: np.ndarray | None = None,
    min_log_odds: float = 0.0,
) -> list[Candidate]:
    """Returns the 8-connected regions of the most probable class, see `find_hotspots`.

    Args:
        probabilities: float32, (H, W, K).
        valid: bool, (H, W); None: all.
        min_log_odds: of a class against background, from which on it counts as more
            probable.

    Raises:
        AnswerError: if the shapes do not match or a probability is not finite.
    """
    if valid is None:
        valid = np.ones(probabilities.shape[:2], bool)
    weights = np.ones(probabilities.shape[-1])
    weights[0] = math.exp(min_log_odds)
    hotspots = find_hotspots(probabilities * weights, valid)
    log_odds = {
        name: compute_log_odds(probabilities, number)
        for number, name in enumerate(CLASS_NAMES)
        if hotspots and number
    }
    smoothed = {name: smooth(each) for name, each in log_odds.items()}
    return [
        Candidate(
            category=each.category,
            mean_log_odds=float(log_odds[each.category][each.mask].mean()),
            peak_log_odds=float(smoothed[each.category][each.mask].max()),
            box=each.box,
            mask=each.mask,
        )
        for each in hotspots
    ]


def _propose_instances(
    instances: Instances, valid: np.ndarray | None
) -> list[Candidate]:
    """Returns all instances of one image, however unsure."""
    if valid is None:
        valid = np.ones(instances.masks.shape[1:], bool)
    found = []
    for each in select_hotspots(instances, valid, min_score=0.0):
        log_odds = float(compute_log_odds(np.array([1 - each.score, each.score]), 1))
        found.append(Candidate(each.category, log_odds, log_odds, each.box, each.mask))
    return found


def propose_pixel(
    probabilities: np.ndarray, valid: np.ndarray | None = None
) -> Candidate:
    """Returns the surest pixel of an image in which nothing is marked.

    Raises:
        AnswerError: if a probability is not finite.
    """
    check_finite("probabilities", probabilities)
    best = []
    for number, name in list(enumerate(CLASS_NAMES))[1:]:
        smoothed = smooth(compute_log_odds(probabilities, number))
        inside = smoothed if valid is None else np.where(valid, smoothed, -np.inf)
        mask = np.zeros(smoothed.shape, bool)
        mask[np.unravel_index(int(inside.argmax()), smoothed.shape)] = True
        peak = float(smoothed[mask].max())
        best.append(Candidate(name, peak, peak, bound_mask(mask), mask))
    return max(best, key=lambda each: each.peak_log_odds)


def compute_log_odds(probabilities: np.ndarray, number: int) -> np.ndarray:
    """Returns the log-odds of a class against all others, float64, (...,).

    Args:
        probabilities: float32, (..., K).
        number: of the class.
    """
    others = np.delete(probabilities, number, axis=-1).sum(axis=-1, dtype=np.float64)
    smallest = np.finfo(np.float32).tiny
    own = np.maximum(probabilities[..., number].astype(np.float64), smallest)
    log_odds: np.ndarray = np.log(own) - np.log(np.maximum(others, smallest))
    return np.clip(log_odds, -_MOST_LOG_ODDS, _MOST_LOG_ODDS)


def smooth(image: np.ndarray) -> np.ndarray:
    """Returns an image averaged over squares, so that a single pixel is no peak."""
    smoothed: np.ndarray = ndimage.uniform_filter(image, SMOOTHED_PX, mode="nearest")
    return smoothed
