"""How far scores may be off: bootstrap over patients, and spread over repetitions.

Two things that the percentile bootstrap cannot say. A score that is perfect is perfect
in every resample: [1, 1] is no certainty, for of M patients read without error up to
3 / M may be misread. And ECE is a sum of absolute values, which the doubled images of a
resample raise: its interval often lies above the ECE itself (of well calibrated scores
in one case of five at M = 251), so it should not be given.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES, LEVEL = 2000, 0.95  # of all scores


@dataclass(frozen=True)
class Interval:
    """A confidence interval of one score.

    Attributes:
        low: lower end, NaN if the score is defined in no resample.
        high: upper end, likewise.
        n_undefined: resamples in which the score is not finite; they are left out.
    """

    low: float
    high: float
    n_undefined: int

    @property
    def bounds(self) -> list[float | None]:
        """Both ends, for JSON."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Spread:
    """Repetitions of one score.

    Attributes:
        mean: of the defined values, NaN if there is none.
        sd: sample standard deviation (n - 1), NaN for fewer than two values.
        n: number of defined values.
    """

    mean: float
    sd: float
    n: int


def bootstrap_patients(
    patients: Sequence[str],
    statistic: Callable[[np.ndarray], Mapping[str, float]],
    *,
    seed: int = 0,
    resamples: int | None = None,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Returns percentile intervals of scores by a bootstrap over patients.

    A resample draws as many patients as there are, with replacement; all images of a
    drawn patient come along, twice if drawn twice. Views of one patient are alike, so
    images drawn on their own would make intervals too narrow. The ends are the
    (1 - level)/2 and (1 + level)/2 quantiles of the scores of the resamples, linear
    between neighbours. The draws depend on the seed and the names of the patients, not
    on the order of the images.

    Args:
        patients: name of the patient of each image, N words.
        statistic: takes indices of images, int64, some more than once, and returns
            scores under the same names each time; NaN where one is undefined.
        seed: of the random numbers.
        resamples: how many samples are drawn, `RESAMPLES` by default.
        level: share of the resamples inside the interval, in (0, 1).

    Returns:
        One interval for each name. With a single patient all are NaN: one patient says
        nothing about others.

    Raises:
        ValueError: if there is no image, no resample, or a level outside (0, 1).
    """
    resamples = RESAMPLES if resamples is None else resamples
    _check(patients, resamples, level)
    rows = _draw_images(patients, resamples, np.random.default_rng(seed))
    drawn = [statistic(indices) for indices in rows]
    values = {name: np.array([scores[name] for scores in drawn]) for name in drawn[0]}
    return _measure_intervals(values, level, alone=len(set(patients)) == 1)


def bootstrap_sums(
    patients: Sequence[str],
    scores: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    *,
    seed: int = 0,
    resamples: int | None = None,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Returns what `bootstrap_patients` does, for scores made of sums over images.

    All resamples are scored at once, which takes a fraction of the time.

    Args:
        patients: name of the patient of each image, N words.
        scores: takes how often each image is drawn in each of R resamples, float64,
            (R, N), and returns scores by name, each (R,); NaN where one is undefined.
        seed: of the random numbers; the draws are those of `bootstrap_patients`.
        resamples: R, `RESAMPLES` by default.
        level: share of the resamples inside the interval, in (0, 1).

    Raises:
        ValueError: if there is no image, no resample, or a level outside (0, 1).
    """
    resamples = RESAMPLES if resamples is None else resamples
    _check(patients, resamples, level)
    names, owner = np.unique(np.array(patients), return_inverse=True)
    generator = np.random.default_rng(seed)
    drawn = np.array(
        [
            np.bincount(each, minlength=names.size)
            for each in _draw_patients(names.size, resamples, generator)
        ]
    )
    values = scores(drawn[:, owner].astype(np.float64))
    return _measure_intervals(values, level, alone=names.size == 1)


def summarise_repeats(repeats: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Returns mean and standard deviation of each score over folds or repeated runs.

    Sums are exact: repetitions that agree have a deviation of exactly 0.

    Args:
        repeats: scores of each repetition, all under the same names; NaN where one is
            undefined.

    Raises:
        ValueError: if there is no repetition.
    """
    if not repeats:
        raise ValueError("Expected the scores of at least one repetition, got none.")
    spreads = {}
    for name in repeats[0]:
        values = [float(scores[name]) for scores in repeats]
        defined = [value for value in values if np.isfinite(value)]
        spreads[name] = Spread(
            mean=statistics.mean(defined) if defined else float("nan"),
            sd=statistics.stdev(defined) if len(defined) > 1 else float("nan"),
            n=len(defined),
        )
    return spreads


def _check(patients: Sequence[str], resamples: int, level: float) -> None:
    if len(patients) == 0 or resamples < 1 or not 0 < level < 1:
        raise ValueError(
            "Expected at least one image and one resample and a level in (0, 1), got "
            f"{len(patients)}, {resamples} and {level}."
        )


def _draw_patients(
    count: int, resamples: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yields the numbers of the patients of each resample, as many as there are."""
    for _ in range(resamples):
        yield generator.integers(count, size=count)


def _draw_images(
    patients: Sequence[str], resamples: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yields the indices of the images of each resample, int64."""
    names, owner, n_images = np.unique(
        np.array(patients), return_inverse=True, return_counts=True
    )
    images = np.argsort(owner, kind="stable")
    first = np.cumsum(n_images) - n_images
    for drawn in _draw_patients(names.size, resamples, generator):
        n_drawn = n_images[drawn]
        # Where the run of each drawn patient begins in `images`, less where it comes to
        # lie in the resample.
        shift = first[drawn] - (np.cumsum(n_drawn) - n_drawn)
        yield images[np.arange(n_drawn.sum()) + np.repeat(shift, n_drawn)]


def describe_intervals(intervals: Mapping[str, Interval]) -> dict[str, Any]:
    """Returns intervals of `RESAMPLES` samples as `metrics.json` has them.

    Args:
        intervals: by the path of the score.

    Returns:
        [low, high] by the path of the score; `undefined`: number of resamples in which
        a score has no value, where there were any; `resamples` and `level`.
    """
    return {
        **{name: each.bounds for name, each in intervals.items()},
        "undefined": {
            name: each.n_undefined
            for name, each in intervals.items()
            if each.n_undefined
        },
        "resamples": RESAMPLES,
        "level": LEVEL,
    }


def _measure_intervals(
    values: Mapping[str, np.ndarray], level: float, *, alone: bool
) -> dict[str, Interval]:
    """Returns the interval of each score, (R,); undefined of a patient who is alone."""
    intervals = {}
    for name, drawn in values.items():
        defined = drawn[np.isfinite(drawn) & (not alone)]
        low, high = np.nan, np.nan
        if defined.size:
            low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
        intervals[name] = Interval(float(low), float(high), drawn.size - defined.size)
    return intervals
