"""What models mark in groups of images, at the point that they bring along.

The number of images is N.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectjax.evaluation.subgroups import score_subgroups
from spectjax.input_pipeline import Examples
from spectjax.metrics.intervals import bootstrap_sums, describe_intervals
from spectjax.metrics.lesions import HALF
from spectjax.metrics.pixel import PixelCounts, score_pixels
from spectjax.tasks.hotspots.cases import SegmentationCases
from spectjax.tasks.hotspots.fitting import count_by_image
from spectjax.tasks.hotspots.metrics_sections import MarkedGroup, MarkedScores
from spectjax.tasks.hotspots.operation import DEFAULT_POINT, Operation
from spectjax.tasks.hotspots.region_cases import RegionCases


@dataclass(frozen=True)
class Marked:
    """What is found and falsely marked in each image.

    Attributes:
        lesions: number of lesions, (N,).
        found: of them.
        false: false regions, (N,).
        marked: whether anything is marked, bool, (N,).
    """

    lesions: np.ndarray
    found: np.ndarray
    false: np.ndarray
    marked: np.ndarray


def count_at_point(regions: RegionCases, operation: Operation, score: float) -> Marked:
    """Returns what regions above a score give, image by image."""
    return Marked(*count_by_image(regions, operation, score))


def count_at_half(cases: SegmentationCases) -> Marked:
    """Returns what pixels above a probability of 0.5 give, image by image."""
    image, n = cases.lesions.image, len(cases)
    return Marked(
        lesions=np.bincount(image, minlength=n),
        found=np.bincount(image[cases.lesions.found[:, HALF]], minlength=n),
        false=cases.regions.false[:, HALF],
        marked=cases.regions.total[:, HALF] > 0,
    )


def score_marked(marked: Marked, patients: Sequence[str]) -> MarkedScores:
    """Returns sensitivity and false regions with 95 % intervals over patients."""
    without = marked.lesions == 0
    ratios = {
        "sensitivity": (marked.found, marked.lesions),
        "false_per_image": (marked.false, np.ones(len(without))),
        "marked_without_lesion": (marked.marked & without, without),
    }

    def score(drawn: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):  # 0 / 0 is undefined, NaN
            return {
                name: (drawn @ total.astype(np.float64)) / (drawn @ number)
                for name, (total, number) in ratios.items()
            }

    values = {
        name: float(each[0]) for name, each in score(np.ones((1, len(without)))).items()
    }
    return {
        "sensitivity": values["sensitivity"],
        "false_per_image": values["false_per_image"],
        "marked_without_lesion": values["marked_without_lesion"],
        "intervals": describe_intervals(bootstrap_sums(patients, score)),
    }


def score_groups(
    examples: Examples,
    cases: SegmentationCases,
    regions: RegionCases,
    operation: Operation | None,
) -> dict[str, dict[str, MarkedGroup]]:
    """Returns the scores of groups of images by kind and name.

    They are of the model's own default point; of the probability 0.5 if it knows none.
    """
    if operation is None:
        marked = count_at_half(cases)
    else:
        point = operation.points[DEFAULT_POINT]
        marked = count_at_point(regions, operation, point.score)
    pixels = cases.pixels
    kinds = (pixels.tp, pixels.fp, pixels.fn, pixels.tn)

    def score(rows: np.ndarray) -> dict[str, object]:
        chosen = Marked(*(each[rows] for each in vars(marked).values()))
        pooled = PixelCounts(*(np.array([each[rows].sum()]) for each in kinds))
        return {
            "n_lesions": int(chosen.lesions.sum()),
            "IoU": float(score_pixels(pooled)["IoU"][0]),
            **score_marked(chosen, [cases.patients[row] for row in rows]),
        }

    return score_subgroups(examples, score)
