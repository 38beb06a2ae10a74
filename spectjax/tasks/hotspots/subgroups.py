"""What models mark in groups of images, at the point that they bring along.

The number of images is N.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spectjax.evaluation.comparison import compare_pairs
from spectjax.evaluation.metrics_sections import Comparison
from spectjax.evaluation.subgroups import score_subgroups
from spectjax.input_pipeline import Examples
from spectjax.metrics.intervals import bootstrap_sums, describe_intervals
from spectjax.metrics.lesions import HALF
from spectjax.metrics.pixel import PixelCounts, score_pixels
from spectjax.system.files import format_csv
from spectjax.tasks.hotspots.case_tables import read_rows
from spectjax.tasks.hotspots.cases import SegmentationCases
from spectjax.tasks.hotspots.fitting import count_by_image
from spectjax.tasks.hotspots.metrics_sections import MarkedGroup, MarkedScores
from spectjax.tasks.hotspots.operation import DEFAULT_POINT, Operation
from spectjax.tasks.hotspots.region_cases import RegionCases

MARKED_FILE = "marked.csv"
MARKED_COLUMNS = ("example_id", "lesions", "found", "false_regions", "marked")


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


def count_marked(
    cases: SegmentationCases, regions: RegionCases, operation: Operation | None
) -> Marked:
    """Returns what a model marks at its default point; at 0.5 if it knows none."""
    if operation is None:
        return count_at_half(cases)
    return count_at_point(regions, operation, operation.points[DEFAULT_POINT].score)


def format_marked(example_ids: Sequence[str], marked: Marked) -> str:
    """Returns `marked.csv`: a row for each image, at the model's own threshold."""
    columns = (np.asarray(each).astype(int) for each in vars(marked).values())
    return format_csv(MARKED_COLUMNS, zip(example_ids, *columns, strict=True))


def read_marked(path: pathlib.Path) -> Marked:
    """Reads what `format_marked` wrote.

    Raises:
        UserError: if the file is missing or not such a table.
    """
    rows = read_rows(path, MARKED_COLUMNS)
    lesions, found, false, marked = (
        np.array(rows[name], np.int64) for name in MARKED_COLUMNS[1:]
    )
    return Marked(lesions, found, false, marked > 0)


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
    score, without = prepare_marked(marked), marked.lesions == 0
    values = {
        name: float(each[0]) for name, each in score(np.ones((1, len(without)))).items()
    }
    return {
        "sensitivity": values["sensitivity"],
        "false_per_image": values["false_per_image"],
        "marked_without_lesion": values["marked_without_lesion"],
        "intervals": describe_intervals(bootstrap_sums(patients, score)),
    }


def prepare_marked(marked: Marked) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns a function from how often images are drawn, (R, N), to scores, (R,)."""
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

    return score


def compare_marked(
    marked: Mapping[str, Marked], patients: Sequence[str]
) -> list[Comparison]:
    """Returns the differences of all pairs of models, each at its own threshold."""
    return compare_pairs(
        {name: prepare_marked(each) for name, each in marked.items()},
        patients,
        names=("sensitivity", "false_per_image"),
        bootstrap=bootstrap_sums,
        everyone=np.ones((1, len(patients))),
    )


def score_groups(
    examples: Examples,
    cases: SegmentationCases,
    marked: Marked,
) -> dict[str, dict[str, MarkedGroup]]:
    """Returns the scores of groups of images by kind and name, see `count_marked`."""
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
