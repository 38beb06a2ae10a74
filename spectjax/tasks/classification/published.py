"""The 21 rows of [P2] Tables 6-9, and the counts of images behind them.

[P2] prints counts for two rows only (Fig. 10). Those of `published_classification.csv`
were sought among all counts of 47 and 64 images (D1) or 353 and 364 (D2, D3): no other
counts agree with as many of a row's figures. Figures are rounded or cut off after four
digits; those that neither explains are named as misprinted. AUC does not follow from
counts and cannot be checked.

Averages over ten runs that differ would hardly be ratios of whole counts in all 21
rows: the ten runs seem to have called every image the same.
"""

import csv
from dataclasses import dataclass
from importlib import resources

from spectjax.metrics.classification import Confusion


@dataclass(frozen=True)
class PublishedRow:
    """One classifier on one data set.

    Attributes:
        dataset: D1, D2 or D3.
        classifier: as [P2] names it, e.g. "SPECS V21".
        scores: accuracy, precision, recall, specificity, f1 and auc as printed.
        confusion: the counts.
        misprinted: the scores that do not follow from the counts.
        note: what they would be, one line; empty where nothing is misprinted.
    """

    dataset: str
    classifier: str
    scores: dict[str, float]
    confusion: Confusion
    misprinted: tuple[str, ...]
    note: str


def read_published() -> tuple[PublishedRow, ...]:
    """Returns the rows in the order of the tables."""
    folder = resources.files(__package__)
    text = (folder / "published_classification.csv").read_text(encoding="utf-8")
    return tuple(_parse_row(row) for row in csv.DictReader(text.splitlines()))


def _parse_row(row: dict[str, str]) -> PublishedRow:
    names = ("accuracy", "precision", "recall", "specificity", "f1", "auc")
    return PublishedRow(
        dataset=row["dataset"],
        classifier=row["classifier"],
        scores={name: float(row[name]) for name in names},
        confusion=Confusion(**{k: int(row[k]) for k in ("tp", "fn", "fp", "tn")}),
        misprinted=tuple(row["misprinted"].split()),
        note=row["note"],
    )
