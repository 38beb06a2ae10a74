"""How sure a model is of whole images, beside their labels: no outline is needed.

The number of images is N, in a batch B.
"""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spectjax.evaluation.comparison import compare_pairs
from spectjax.evaluation.metrics_sections import Comparison
from spectjax.imaging.hotspots import Instances
from spectjax.input_pipeline import Examples
from spectjax.metrics.curves import area_under_roc
from spectjax.metrics.intervals import (
    bootstrap_patients,
    bootstrap_sums,
    describe_intervals,
)
from spectjax.report.markdown import bracket, format_rows
from spectjax.system.files import format_csv
from spectjax.tasks.classification.scores import summarise_scores
from spectjax.tasks.hotspots.case_tables import read_rows
from spectjax.tasks.hotspots.fitting import combine_all, count_by_image
from spectjax.tasks.hotspots.image_scores import NONE, pool_probabilities
from spectjax.tasks.hotspots.operation import DEFAULT_POINT, FEATURES, Operation
from spectjax.tasks.hotspots.region_cases import RegionCases, RegionCollector

FILE = "labels.csv"
COLUMNS = ("example_id", "patient", "view", "label", "outlined", "log_odds", "marked")
SUREST = "surest_region"
_NOTHING = -100.0  # log-odds of an image without any instance: below all others
_RANKED_BY = {
    SUREST: "its surest region, or its surest place if it has none",
    "log_sum_exp": "log_sum_exp of the log-odds of its pixels",
    "top_k": "top_k of the log-odds of its pixels",
}
_MARKED = {"abnormal": "Abnormal: marked", "normal": "Normal: marked"}


@dataclass(frozen=True)
class Judged:
    """What a model says of whole images.

    Attributes:
        log_odds: that they show a hotspot, (N,).
        marked: whether it marks anything in them, bool, (N,).
    """

    log_odds: np.ndarray
    marked: np.ndarray


@dataclass
class ImageCollector:
    """Takes what a model says of images, batch by batch, as `RegionCollector` does.

    Attributes:
        regions: takes it too.
        image_score: see `image_scores.pool_logits`; "none": the surest region tells.
    """

    regions: RegionCollector
    image_score: str = NONE
    _pooled: list[np.ndarray] = field(default_factory=list)

    def add(self, rows: slice, answer: np.ndarray | Instances) -> None:
        """Takes the answer about the images of some rows, and perhaps of more."""
        self.regions.add(rows, answer)
        if self.image_score != NONE:
            pooled = pool_probabilities(np.asarray(answer), self.image_score)
            self._pooled.append(pooled[: rows.stop - rows.start])

    def finish(self, operation: Operation | None) -> tuple[RegionCases, Judged]:
        """Returns the regions of all images, and what is said of each image."""
        cases = self.regions.finish()
        log_odds = rank_images(cases, operation)
        if self.image_score != NONE:
            log_odds = np.concatenate(self._pooled)
        return cases, Judged(log_odds, _find_marked(cases, operation))


def rank_images(cases: RegionCases, operation: Operation | None) -> np.ndarray:
    """Returns the log-odds of the surest region of each image, (N,).

    Of an image without a region it is that of its surest pixel as a region of its own,
    as `spectjax.predict` ranks views; of one without any instance the lowest. A model
    that knows no operating point ranks regions by their surest place.
    """

    def rate(features: np.ndarray) -> np.ndarray:
        if operation is None:
            return features[:, FEATURES.index("peak_log_odds")]
        return combine_all(features, operation)

    log_odds = np.full(len(cases.without_lesion), _NOTHING)
    np.maximum.at(log_odds, cases.image, rate(cases.features))
    lone = ~np.isnan(cases.lone).all(axis=1)
    log_odds[lone] = rate(cases.lone[lone])
    return log_odds


def _find_marked(cases: RegionCases, operation: Operation | None) -> np.ndarray:
    """Tells in which images something is marked, at the default point or at 0.5."""
    if operation is not None:
        score = operation.points[DEFAULT_POINT].score
        return count_by_image(cases, operation, score)[-1]
    marked = np.zeros(len(cases.without_lesion), bool)
    marked[cases.image[cases.mean_log_odds > 0]] = True
    return marked


def summarise_labels(examples: Examples, judged: Judged, how: str) -> dict[str, Any]:
    """Returns the section `images` of `metrics.json`, of all images and of each view.

    Args:
        examples: N images with labels.
        judged: what a model says of them.
        how: what they are ranked by, a key of `_RANKED_BY`.
    """
    views, outlined = np.array(examples.views), examples.outlined
    groups = {"all": np.ones(len(examples), bool)} | {
        view: views == view for view in sorted(set(examples.views))
    }
    by_view: dict[str, Any] = {}
    for name, chosen in groups.items():
        rows = np.flatnonzero(chosen)
        labels, patients = examples.labels[rows], [examples.patients[i] for i in rows]
        by_view[name] = {
            **summarise_scores(labels, judged.log_odds[rows], patients),
            "marked": _score_marked(labels, judged.marked[rows], patients),
        }
    return {
        "score": how,
        "n_without_outlines": int(np.sum(~outlined)),
        "n_outlined": int(np.sum(outlined)),
        "n_normal_by_label": int(np.sum(examples.located & ~outlined)),
        "n_labels_alone": int(np.sum(~examples.located)),
        "by_view": by_view,
    }


def _score_marked(
    labels: np.ndarray, marked: np.ndarray, patients: Sequence[str]
) -> dict[str, Any]:
    """Returns the shares of abnormal and of normal images that are marked."""
    groups = {"abnormal": labels > 0, "normal": labels == 0}

    def score(drawn: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):  # 0 / 0 is undefined, NaN
            return {
                name: (drawn @ (marked & chosen).astype(np.float64))
                / (drawn @ chosen.astype(np.float64))
                for name, chosen in groups.items()
            }

    return {
        **{k: float(v[0]) for k, v in score(np.ones((1, len(labels)))).items()},
        "intervals": describe_intervals(bootstrap_sums(patients, score)),
    }


def format_labels(examples: Examples, judged: Judged) -> str:
    """Returns `labels.csv`: a row for each image, whether or not it is outlined."""
    columns = (
        *(examples.example_ids, examples.patients, examples.views, examples.labels),
        examples.outlined.astype(int),
        [repr(float(each)) for each in judged.log_odds],
        judged.marked.astype(int),
    )
    return format_csv(COLUMNS, zip(*columns, strict=True))


def compare_labels(folders: Mapping[str, pathlib.Path]) -> list[Comparison]:
    """Returns the differences in AUC of all pairs of models on the same images.

    Args:
        folders: that hold `labels.csv` of each model.

    Raises:
        UserError: if a file is missing or not such a table.
    """
    rows = {name: read_rows(path / FILE, COLUMNS) for name, path in folders.items()}
    first = next(iter(rows.values()))
    labels = np.array(first["label"], np.int64)

    def rank(log_odds: np.ndarray) -> Any:
        return lambda drawn: {"auc": area_under_roc(labels[drawn], log_odds[drawn])}

    return compare_pairs(
        {name: rank(np.array(x["log_odds"], np.float64)) for name, x in rows.items()},
        first["patient"],
        names=("auc",),
        bootstrap=bootstrap_patients,
        everyone=np.arange(len(labels)),
    )


def tabulate_labels(
    images: Mapping[str, Any], told: str = "", *, taught: bool
) -> list[str]:
    """Returns the lines of the section on labels, Markdown.

    Args:
        images: see `summarise_labels`.
        told: ends the title.
        taught: whether labels alone taught the model as well.
    """
    counts = (
        f"{images['n_labels_alone']} images have a label and no outlines: they are "
        f"scored here alone{', and so they taught' * taught}. Pixels and lesions are "
        f"scored on {images['n_outlined']} that somebody outlined and "
        f"{images['n_normal_by_label']} that are normal by their label"
    )
    rows = [
        [view, str(found["n"]), str(found["n_metastasis"])]
        + [bracket(found, name) for name in ("auc", "average_precision")]
        + [bracket(found["marked"], name) for name in _MARKED]
        for view, found in images["by_view"].items()
    ]
    header = ["View", "Images", "Abnormal", "AUC", "Average precision"]
    return [
        f"## Labels of whole images{told}",
        "",
        f"{counts}. What an image is ranked by: {_RANKED_BY[images['score']]}.",
        "",
        *format_rows([*header, *_MARKED.values()], rows),
    ]
