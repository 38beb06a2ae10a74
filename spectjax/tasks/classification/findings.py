"""What a classifier says about a view and about an examination: metastasis or normal.

K is the number of classes; class 0 is normal, 1 metastasis.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spectjax.imaging.diagnosis import LABELS
from spectjax.imaging.hotspots import AnswerError, check_finite
from spectjax.system.messages import DISCLAIMER, make_printable
from spectjax.tasks.views import (
    Finding,
    ModelInfo,
    SeenView,
    describe_origin,
    list_warnings,
)

IN_DOUBT = "crop in doubt"

if TYPE_CHECKING:  # matplotlib takes a third of a second: not before --help
    from matplotlib.figure import Figure

_RULE = (
    "metastasis where its probability exceeds 0.5: a class of the images that the "
    "model learned from, no diagnosis; of an examination: the mean of its views' "
    "log-odds of metastasis, as a probability; a label that ends in "
    f"({IN_DOUBT}) is of a crop that may show something else than the thorax"
)


@dataclass(frozen=True)
class Diagnosis:
    """How sure a model is of metastasis.

    Attributes:
        log_odds: log p(metastasis) - log p(normal).
    """

    log_odds: float

    @property
    def probability(self) -> float:
        """Of metastasis, in [0, 1]."""
        # Of the two forms the one whose exponential cannot overflow.
        if self.log_odds < 0:
            return math.exp(self.log_odds) / (1 + math.exp(self.log_odds))
        return 1 / (1 + math.exp(-self.log_odds))

    @property
    def label(self) -> str:
        """One of `LABELS`; normal in a tie."""
        return LABELS[int(self.log_odds > 0)]

    def name(self, *, in_doubt: bool) -> str:
        """Returns the label; never alone if the crop is in doubt."""
        return f"{self.label} ({IN_DOUBT})" if in_doubt else self.label

    def to_json(self, *, in_doubt: bool) -> dict[str, Any]:
        """Returns label, probability and log-odds."""
        return {
            "label": self.name(in_doubt=in_doubt),
            "in_doubt": in_doubt,
            "probability": self.probability,
            "log_odds": self.log_odds,
        }


def diagnose(probs: np.ndarray) -> Diagnosis:
    """Returns the diagnosis of class probabilities.

    They hold the log-odds to the rounding of float32; those beyond 87 become 87.

    Args:
        probs: float32, (2,).

    Raises:
        AnswerError: if the shape is another one or a probability is not finite.
    """
    if probs.shape != (len(LABELS),):
        raise AnswerError(
            f"Expected one probability for each of the classes {', '.join(LABELS)}, "
            f"the model gave an array of shape {probs.shape}."
        )
    check_finite("probabilities", probs)
    smallest = np.finfo(np.float32).tiny
    normal, metastasis = np.maximum(probs.astype(np.float64), smallest)
    return Diagnosis(float(np.log(metastasis) - np.log(normal)))


def average(diagnoses: Sequence[Diagnosis]) -> Diagnosis:
    """Returns the diagnosis of several views: the mean of their log-odds.

    With two classes that is what the mean of the views' logits gives.
    """
    return Diagnosis(math.fsum(d.log_odds for d in diagnoses) / len(diagnoses))


def describe_diagnoses(
    views: Sequence[SeenView], model_info: ModelInfo
) -> list[Finding]:
    """Returns the diagnosis of each view, and that of the examination they make up.

    Args:
        views: of one examination of one patient, with probabilities (2,).
        model_info: where the model comes from.

    Raises:
        AnswerError: if the probabilities have the wrong shape or are not finite.
    """
    diagnoses = [diagnose(view.answer) for view in views]
    if not diagnoses:
        return []
    examination = average(diagnoses)
    in_doubt = any(view.in_doubt for view in views)
    listed = examination.to_json(in_doubt=in_doubt) | {
        "views": [
            {
                "name": make_printable(view.name),
                "view": view.thorax.scan.view,
                "probability": diagnosis.probability,
                "crop_flagged": bool(view.thorax.flags),
            }
            for view, diagnosis in zip(views, diagnoses, strict=True)
        ]
    }
    return [
        _describe_view(view, diagnosis, examination, listed, model_info)
        for view, diagnosis in zip(views, diagnoses, strict=True)
    ]


def _describe_view(
    view: SeenView,
    diagnosis: Diagnosis,
    examination: Diagnosis,
    listed: dict[str, Any],
    model_info: ModelInfo,
) -> Finding:
    scan, n_views = view.thorax.scan, len(listed["views"])
    label = diagnosis.name(in_doubt=view.in_doubt)
    document = describe_origin(view, model_info) | {
        "input": {"hw": view.input_hw, "notes": view.input_notes},
        "rule": _RULE,
        "diagnosis": diagnosis.to_json(in_doubt=view.in_doubt),
        "examination": listed,
        "disclaimer": DISCLAIMER,
    }
    row = {
        "name": make_printable(view.name),
        "file": make_printable(scan.path.name),
        "frame": scan.frame,
        "view": scan.view,
        "probability": f"{diagnosis.probability:.6g}",
        "label": label,
        "examination_views": n_views,
        "examination_probability": f"{examination.probability:.6g}",
        "examination_label": listed["label"],
        "crop_flags": "; ".join(view.thorax.flags),
        "notes": "; ".join(view.input_notes),
        "warnings": "; ".join(scan.warnings),
    }
    return Finding(
        document=document,
        draw=functools.partial(
            _draw, view, diagnosis, examination, n_views, model_info
        ),
        summary=f"{label}, probability of metastasis "
        f"{diagnosis.probability:.3f}"
        + (f", of {n_views} views {examination.probability:.3f}" * (n_views > 1)),
        row=row,
    )


def _draw(
    view: SeenView,
    diagnosis: Diagnosis,
    examination: Diagnosis,
    n_views: int,
    model_info: ModelInfo,
) -> "Figure":
    """Returns the picture of one view."""
    from spectjax.tasks.classification.picture import draw_diagnosis

    probabilities = {"this view": diagnosis.probability}
    if n_views > 1:
        probabilities[f"all {n_views} views"] = examination.probability
    return draw_diagnosis(
        view,
        probabilities=probabilities,
        label=diagnosis.name(in_doubt=view.in_doubt),
        warnings=list_warnings(view, model_info),
    )
