"""What a model scores in each hospital, and how far from the usual one, paired."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.shift.hospitals import list_patients
from spectjax.report.markdown import format_bounds, format_rows, tabulate_differences

if TYPE_CHECKING:
    from spectjax.evaluation.comparison import Score

SCORES = {
    "sensitivity": "Sensitivity",
    "false_per_image": "False per image (fewer are better)",
    "marked_without_lesion": "Images without lesion: marked (fewer are better)",
    "IoU": "IoU, pooled",
}
Table = dict[tuple[str, str], tuple[int, ...]]  # by number of the patient and view


def compare(models: Mapping[str, Mapping[str, Table]]) -> dict[str, Any]:
    """Returns the scores of the images that all hospitals have, and differences.

    `models` has the table of each hospital, the usual one first, see `read_images`.
    """
    from spectjax.evaluation.comparison import compare_pairs
    from spectjax.metrics.intervals import bootstrap_sums, describe_intervals
    from spectjax.phantom import VERSION

    document: dict[str, Any] = {"synthetic": True, "phantom": VERSION, "models": {}}
    for model, tables in models.items():
        shared = sorted(set.intersection(*(set(table) for table in tables.values())))
        patients = [patient for patient, _ in shared]
        scores = {
            name: prepare_scores(np.array([table[image] for image in shared]).T)
            # The usual camera comes last: what is told of the others is minus its.
            for name, table in reversed(list(tables.items()))
        }
        everyone = np.ones((1, len(shared)))
        pairs = compare_pairs(
            scores, patients, names=list(SCORES), bootstrap=bootstrap_sums,
            everyone=everyone,
        )  # fmt: skip
        document["models"][model] = {
            "n_images": len(shared),
            "n_patients": len(set(patients)),
            "hospitals": {
                name: {
                    "n_images_usable": len(tables[name]),
                    "n_lesions": sum(tables[name][image][0] for image in shared),
                    "n_found": sum(tables[name][image][1] for image in shared),
                    **{key: float(each[0]) for key, each in of(everyone).items()},
                    "intervals": describe_intervals(bootstrap_sums(patients, of)),
                }
                for name, of in reversed(scores.items())
            },
            "comparisons": [
                pair
                for pair in reversed(pairs)
                if pair["models"][1] == next(iter(tables))
            ],
        }
    return document


def read_images(scores: pathlib.Path, patients: int) -> Table:
    """Reads what a model marked at its own point in so many simulated patients.

    Each image has its lesions, those found, false regions, whether anything is marked,
    and pixels that are hotspots rightly, falsely, or missed.
    """
    from spectjax.tasks.hotspots.case_tables import read_run_tables
    from spectjax.tasks.hotspots.subgroups import MARKED_FILE, read_marked

    cases = read_run_tables(scores)
    marked = read_marked(scores / MARKED_FILE)
    columns = (
        *vars(marked).values(),
        cases.pixels.tp,
        cases.pixels.fp,
        cases.pixels.fn,
    )
    numbers = list_patients(patients)
    return {
        (numbers[patient], view): tuple(int(each) for each in row)
        for patient, view, *row in zip(
            cases.patients, cases.views, *columns, strict=True
        )
    }


def prepare_scores(columns: np.ndarray) -> "Score":
    """Returns a function from how often images are drawn, (R, N), to `SCORES`, (R,).

    `columns` has the numbers of `read_images`, (7, N).
    """
    from spectjax.tasks.hotspots.subgroups import Marked, prepare_marked

    lesions, found, false, marked, *pixels = columns
    of_regions = prepare_marked(Marked(lesions, found, false, marked > 0))
    tp, fp, fn = (each.astype(np.float64) for each in pixels)

    def score(drawn: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):
            iou = (drawn @ tp) / (drawn @ (tp + fp + fn))
        return {**of_regions(drawn), "IoU": iou}

    return score


def format_table(document: Mapping[str, Any]) -> list[str]:
    """Returns the lines of `table.md`."""
    lines = [f"SIMULATED patients of the phantom's version {document['phantom']}."]
    for model, each in document["models"].items():
        rows = [
            [
                name,
                str(hospital["n_images_usable"]),
                f"{hospital['n_found']} of {hospital['n_lesions']}",
            ]
            + [
                f"{hospital[key]:.3f}{format_bounds(hospital['intervals'][key])}"
                for key in SCORES
            ]
            for name, hospital in each["hospitals"].items()
        ]
        lines += [
            "",
            f"## {model}: {each['n_images']} images of {each['n_patients']} patients",
            "",
            *format_rows(
                ["", "Images usable", "Lesions found", *SCORES.values()], rows
            ),
            "",
            *tabulate_differences(SCORES, each["comparisons"]),
        ]
    return lines
