"""What a classifier said about every image: `cases.csv` and `patients.csv`.

The number of images is N. A score is the log-odds of metastasis, log p1 - log p0; the
image counts as metastasis where it exceeds 0.
"""

import csv
import pathlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectjax.evaluation.metrics_file import OtherDataError
from spectjax.imaging.diagnosis import LABELS
from spectjax.metrics.binary import compute_probs
from spectjax.metrics.classification import PatientScores, group_by_patient
from spectjax.system.files import format_csv
from spectjax.system.messages import UserError

CASE_COLUMNS = (
    "example_id",
    "patient",
    "view",
    "diagnosis",
    "label",
    "probability",
    "log_odds",
    "calibrated_probability",
    "correct",
)
PATIENT_COLUMNS = ("patient", "images", "label", "probability", "log_odds", "correct")


@dataclass(frozen=True)
class Cases:
    """Images and what a classifier said about them.

    Attributes:
        example_ids: unique names, length N.
        patients: pseudonyms, length N.
        views: "anterior" or "posterior", length N.
        diagnoses: of `spectjax.imaging.diagnosis.DIAGNOSES`, length N.
        labels: 0 normal, 1 metastasis, integer, (N,).
        log_odds: scores, float32, (N,).
    """

    example_ids: list[str]
    patients: list[str]
    views: list[str]
    diagnoses: list[str]
    labels: np.ndarray
    log_odds: np.ndarray

    def __len__(self) -> int:
        """Returns N."""
        return len(self.example_ids)

    @property
    def predictions(self) -> np.ndarray:
        """The more probable class, normal in a tie, integer, (N,)."""
        return (self.log_odds > 0).astype(np.int64)

    def group(self) -> PatientScores:
        """Returns the mean score of each patient's images: [P2] takes single images."""
        return group_by_patient(self.patients, self.labels, self.log_odds)


def format_cases(cases: Cases, temperature: float | None) -> str:
    """Returns `cases.csv`: one row for each image, with its score to the last bit.

    Args:
        cases: N images.
        temperature: what log-odds are divided by for the calibrated probability; None
            leaves its cells empty.
    """
    calibrated = [""] * len(cases)
    if temperature is not None:
        calibrated = _format(cases.log_odds / temperature)
    columns = (
        cases.example_ids,
        cases.patients,
        cases.views,
        cases.diagnoses,
        [LABELS[label] for label in cases.labels],
        _format(cases.log_odds),
        # Nine digits tell every float32 from its neighbours.
        [format(float(score), ".9g") for score in cases.log_odds],
        calibrated,
        (cases.predictions == cases.labels).astype(int),
    )
    return format_csv(CASE_COLUMNS, zip(*columns, strict=True))


def format_patients(cases: Cases) -> str:
    """Returns `patients.csv`: one row for each patient, with the mean of its scores."""
    patients, count = cases.group(), Counter(cases.patients)
    columns = (
        patients.patients,
        [count[patient] for patient in patients.patients],
        [LABELS[label] for label in patients.labels],
        _format(patients.scores),
        [format(float(score), ".9g") for score in patients.scores],
        ((patients.scores > 0) == (patients.labels > 0)).astype(int),
    )
    return format_csv(PATIENT_COLUMNS, zip(*columns, strict=True))


def read_cases(path: pathlib.Path) -> Cases:
    """Reads what `format_cases` wrote.

    Raises:
        UserError: if the file is missing or not such a table.
    """
    try:
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        return Cases(
            example_ids=[row["example_id"] for row in rows],
            patients=[row["patient"] for row in rows],
            views=[row["view"] for row in rows],
            diagnoses=[row["diagnosis"] for row in rows],
            labels=np.array([LABELS.index(row["label"]) for row in rows], np.int64),
            log_odds=np.array([float(row["log_odds"]) for row in rows], np.float32),
        )
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: expected a classifier's table of cases ({error}). Remove "
            f"{path.parent}; the same command evaluates again."
        ) from error


def check_scored(path: pathlib.Path, example_ids: Sequence[str]) -> None:
    """Checks that a run scored these very images, so that it has not seen them.

    Args:
        path: the run's table of cases.
        example_ids: the images.

    Raises:
        OtherDataError: if it did not, or has not scored anything yet.
    """
    if not path.exists() or sorted(read_cases(path).example_ids) != sorted(example_ids):
        raise OtherDataError(
            f"{path}: expected the {len(example_ids)} images that the run would hold "
            "out of these data, found others or none: it may have been trained on "
            "them. Give the --data_dir and --manual_dir of the run's own data."
        )


def _format(log_odds: np.ndarray) -> list[str]:
    probs = compute_probs(np.asarray(log_odds, np.float64))
    return [format(p, ".6f") for p in probs]
