"""The sections of `metrics.json` on hotspots; `docs/metrics.md` explains them.

What is None in the file, an undefined score, is NaN until it is written.
"""

from typing import Any, NotRequired, TypedDict

from spectjax.evaluation.metrics_sections import (
    Comparison,
    Document,
    Intervals,
    Learned,
    RunDocument,
    Score,
    Spreads,
)
from spectjax.tasks.classification.metrics_sections import BoundedScores


class PixelScores(TypedDict):
    """Scores of pixels."""

    PA: Score
    CPA: Score
    Rec: Score
    IoU: Score
    Dice: Score


class PooledPixels(PixelScores):
    """Over the pixels of all images."""

    TP: int
    FP: int
    FN: int
    TN: int


class AveragedPixels(PixelScores):
    """Means over images."""

    n_averaged: dict[str, int]


class Pixel(TypedDict):
    """Pixels, added up in three ways."""

    pooled: PooledPixels
    per_image: AveragedPixels
    with_lesion: AveragedPixels


class LesionScores(TypedDict):
    """Scores of some of the lesions."""

    n: int
    found: int
    sensitivity: Score
    sensitivity_at: dict[str, Score]
    dice: Score
    hausdorff95_mm: Score
    n_averaged: dict[str, int]


class Evident(LesionScores):
    """Scores of lesions that are large and bright enough."""

    min_area_px: int
    min_contrast: float


class WithoutLesion(TypedDict):
    """What is marked where there is no lesion."""

    n_images: int
    false_per_image: Score
    clean: Score


class FrocCurve(TypedDict):
    """A point for each threshold."""

    threshold: list[float]
    sensitivity: list[Score]
    false_per_image: list[float]


class Lesion(LesionScores):
    """Scores of all lesions."""

    threshold: float
    min_iou: float
    threshold_at: dict[str, Score]
    regions: int
    false_regions: int
    false_per_image: float
    without_lesion: WithoutLesion
    evident: Evident
    by_size: dict[str, LesionScores]
    by_contrast: dict[str, LesionScores]
    froc: FrocCurve


class Agreement(TypedDict):
    """Of a model's burden with the readers'."""

    n: int
    bias: Score
    sd: Score
    low: Score
    high: Score
    concordance: Score


class Burden(TypedDict):
    """Both measures of burden."""

    area_mm2: Agreement
    counts: Agreement


class Precisions(TypedDict):
    """Average precision and recall of boxes or masks."""

    AP10: Score
    AP20: Score
    AP30: Score
    AP40: Score
    AP50: Score
    AP10_50: Score
    AP75: Score
    AP: Score
    AR: Score


class SizePrecisions(Precisions):
    """The same for lesions of one size."""

    n: int


class KindPrecisions(Precisions):
    """The same for all lesions, and for those of each size."""

    by_size: dict[str, SizePrecisions]


class DetectionCurves(TypedDict):
    """Precision at each recall, by IoU threshold."""

    recall: list[float]
    box: dict[str, list[Score]]
    mask: dict[str, list[Score]]


class Detection(TypedDict):
    """Scores of instances."""

    n_lesions: int
    n_detections: int
    box: KindPrecisions
    mask: KindPrecisions
    curves: DetectionCurves
    intervals: Intervals
    folds: NotRequired[Spreads]


class Gaps(TypedDict):
    """Expected calibration error, before calibration and after."""

    ece_before: Score
    ece_after: Score


class MarkedScores(TypedDict):
    """What marks at one threshold give, with intervals over patients."""

    sensitivity: Score
    false_per_image: Score
    marked_without_lesion: Score
    intervals: Intervals


class OperatedPoint(MarkedScores):
    """What an operating point gives on held-out images."""

    score: float
    evident_sensitivity: Score


class MarkedGroup(MarkedScores):
    """The same of a group of images."""

    n_images: int
    n_patients: int
    n_lesions: int
    IoU: Score


# Sensitivity by false regions per image.
RankedScores = dict[str, Score]


class Operated(TypedDict):
    """How the model's statements about its own use hold."""

    measured_on: dict[str, Any]
    min_area_mm2: float
    calibration: dict[str, Gaps]
    points: dict[str, OperatedPoint]
    by_region_score: dict[str, RankedScores]
    view_auc: Score


class Segmentation(TypedDict):
    """Scores of one model."""

    pixel: Pixel
    lesion: Lesion
    burden: Burden
    intervals: Intervals


class MarkedImages(TypedDict):
    """Shares of abnormal and of normal images in which something is marked."""

    abnormal: Score
    normal: Score
    intervals: Intervals


class LabelScores(BoundedScores):
    """How well the images of a view are told apart."""

    marked: MarkedImages


class Images(TypedDict):
    """How well whole images are told apart by their labels."""

    score: str
    n_without_outlines: int
    n_outlined: int
    n_normal_by_label: int
    n_labels_alone: int
    by_view: dict[str, LabelScores]


class SegmentationRun(Segmentation, RunDocument):
    """`metrics.json` of a run."""

    n_images_without_lesion: int
    detection: NotRequired[Detection]
    operation: NotRequired[Operated]
    images: NotRequired[Images]
    subgroups: NotRequired[dict[str, dict[str, MarkedGroup]]]
    adjusted: NotRequired[Operated]


class SegmentationModel(Segmentation, Learned):
    """A model of a cross-validation."""

    task: str
    detection: NotRequired[Detection]


class OthersFalseRegions(TypedDict):
    """How many false regions a model marks where it is as sensitive as another."""

    false_per_image: Score
    fraction: Score
    interval: list[Score]
    n_unreached: int


class FalseRegions(TypedDict):
    """False regions of all models at the sensitivity of one."""

    reference: str
    sensitivity: Score
    false_per_image: float
    models: dict[str, OthersFalseRegions]


class SegmentationFolds(Document):
    """`metrics.json` of a cross-validation."""

    n_images_without_lesion: int
    models: dict[str, SegmentationModel]
    comparisons: list[Comparison]
    detection_comparisons: list[Comparison]
    at_equal_sensitivity: list[FalseRegions]
