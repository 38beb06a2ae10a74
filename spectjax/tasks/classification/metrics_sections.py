"""The sections of `metrics.json` on classification; `docs/metrics.md` explains them.

What is None in the file, an undefined score, is NaN until it is written.
"""

from typing import NotRequired, TypedDict

from spectjax.evaluation.metrics_sections import (
    Document,
    Intervals,
    Learned,
    RunDocument,
    Score,
    Spreads,
)


class ImageScores(TypedDict):
    """Scores of images, by the more probable class and by rank."""

    accuracy: Score
    precision: Score
    recall: Score
    specificity: Score
    f1: Score
    auc: Score
    average_precision: Score


class ViewScores(ImageScores):
    """The same for the images of one view."""

    n: int


class Reached(TypedDict):
    """The best recall at a specificity."""

    sensitivity: Score
    interval: list[Score]
    threshold: Score


class BoundedScores(ImageScores):
    """Scores of images or of patients with their intervals."""

    n: int
    n_metastasis: int
    confusion: dict[str, int]
    sensitivity_at_specificity: dict[str, Reached]
    intervals: dict[str, list[Score]]
    undefined: dict[str, int]
    resamples: int
    level: float


class Kind(TypedDict):
    """Images of one diagnosis."""

    n: int
    n_correct: int
    recall: Score


class Bins(TypedDict):
    """Images of which metastasis is about as probable, ten bins."""

    mean_prob: list[Score]
    fraction: list[Score]
    count: list[int]


class Reliable(TypedDict):
    """How far probabilities are from frequencies."""

    ece: float
    brier: float
    bins: Bins


class Calibration(TypedDict):
    """The same as the network says and with a temperature, one or one a fold."""

    before: Reliable
    after: Reliable | None
    temperature: float | list[float] | None
    fitted_on: str | None


class Classification(TypedDict):
    """Scores of one model."""

    image: BoundedScores
    patient: BoundedScores
    by_diagnosis: dict[str, Kind]
    by_view: dict[str, ViewScores]


class Repeated(Spreads):
    """Scores of images moved at random."""

    evaluations: int
    what: str


class AtThreshold(TypedDict):
    """What a threshold gives that was chosen on other images."""

    threshold: float
    recall: Score
    specificity: Score
    intervals: Intervals


class ImageGroup(TypedDict):
    """Scores of a group of images by the more probable class, and by rank."""

    n_images: int
    n_patients: int
    n_metastasis: int
    auc: Score
    recall: Score
    specificity: Score
    intervals: Intervals


class AdjustedScores(ImageScores):
    """Scores after an adjustment on other patients of the same hospital."""

    value: float
    calibration: Reliable


class Adjusted(TypedDict):
    """Both adjustments: a temperature, and a shift of the log-odds."""

    fitted_on: str
    temperature: AdjustedScores
    prevalence: AdjustedScores


class ClassificationRun(Classification, RunDocument):
    """`metrics.json` of a run."""

    calibration: Calibration
    repeated: Repeated | None
    at_model_thresholds: NotRequired[dict[str, AtThreshold]]
    subgroups: NotRequired[dict[str, dict[str, ImageGroup]]]
    adjusted: NotRequired[Adjusted]


class ClassificationModel(Classification, Learned):
    """A model of a cross-validation."""

    calibration: Calibration


class ClassificationFolds(Document):
    """`metrics.json` of a cross-validation."""

    models: dict[str, ClassificationModel]
