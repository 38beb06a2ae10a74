"""Explanations as files: a picture and JSON for each image, and the sanity check."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from spectjax.explanation.drawing import Overlay, draw_explanation, draw_sanity
from spectjax.explanation.explainer import Explainer
from spectjax.explanation.gradcam import enlarge
from spectjax.explanation.pointing import box_cell, find_cells, find_peak
from spectjax.explanation.subjects import Subject
from spectjax.imaging.diagnosis import LABELS
from spectjax.report.picture_parts import save_figure
from spectjax.system.files import write_json
from spectjax.system.messages import DISCLAIMER, UserError

SANITY_IMAGES = 8  # at most, in the check; half of them in its figure
_METHOD = (
    "Grad-CAM (Selvaraju et al. 2017, Eq. 1-2) of the class's log-odds in the last "
    "feature map, in log-odds"
)


def write_explanation(
    explainer: Explainer,
    subject: Subject,
    odds: float,
    evidence: np.ndarray,
    output_dir: pathlib.Path,
) -> dict[str, Any]:
    """Writes picture and JSON of one image and returns what the JSON file holds.

    The JSON file is written last: where it is, the picture is too. `odds` are log-odds
    of the category, `evidence` is the map, float32, (h, w).

    Raises:
        ValueError: if the folder holds something else under the image's name.
        WriteError: if a file cannot be written.
    """
    path = output_dir / f"{subject.name}.json"
    _check_free(path)
    document = make_document(explainer, subject, odds, evidence)
    metastasis = odds if explainer.category == 1 else -odds
    height, width = document["map"]["cell_px"]
    figure = draw_explanation(
        lay_over(subject, evidence),
        category=LABELS[explainer.category],
        title=subject.title,
        scores=f"P(metastasis) {expit(metastasis):.3f}, log-odds {metastasis:+.2f}; "
        f"a cell of the map is {height:.0f}x{width:.0f} pixels, too coarse to outline "
        "a hotspot",
        warnings=document["warnings"],
        synthetic=subject.synthetic,
    )
    save_figure(figure, path.with_suffix(".png"))
    write_json(path, document)
    return document


def make_document(
    explainer: Explainer, subject: Subject, odds: float, evidence: np.ndarray
) -> dict[str, Any]:
    """Returns what is written as JSON about one image; see `write_explanation`."""
    category = LABELS[explainer.category]
    image_hw = subject.counts.shape
    peak = find_peak(evidence)
    warnings = list(subject.warnings)
    if explainer.run.origin.get("trained_on_synthetic_data"):
        warnings.append("The model was trained on simulated patients.")
    if peak is None:
        warnings.append(f"No evidence for {category} in the last feature map.")
    elif not find_cells(subject.counts > 0, evidence.shape)[peak]:
        warnings.append("The map peaks where there are no counts: not on the patient.")
    if odds <= 0 and peak is not None:
        warnings.append(
            f"The model does not say {category}; the map shows what spoke for it none "
            "the less."
        )
    truth: dict[str, Any] | None = None
    if subject.label is not None:
        truth = {"category": LABELS[subject.label], "peak_on_hotspot": None}
        if subject.hotspots is not None and peak is not None:
            hot = find_cells(subject.hotspots, evidence.shape)
            truth["peak_on_hotspot"] = bool(hot[peak])
    place = None
    if peak is not None:
        box = box_cell(peak, evidence.shape, image_hw)
        place = {"cell": peak, "value": float(evidence[peak]), **subject.locate(box)}
    return {
        "source": subject.source,
        "model": explainer.run.origin,
        "category": category,
        "probability": float(expit(odds)),
        "log_odds": float(odds),
        "method": _METHOD,
        "map": {
            "hw": evidence.shape,
            "cell_px": [
                pixels / cells
                for pixels, cells in zip(image_hw, evidence.shape, strict=True)
            ],
            "thorax": subject.locate((0, 0, *image_hw))["thorax"]["box"],
            "values": evidence.tolist(),
        },
        "peak": place,
        "truth": truth,
        "warnings": warnings,
        "disclaimer": DISCLAIMER,
    }


def lay_over(subject: Subject, evidence: np.ndarray) -> Overlay:
    """Returns a map at the size of its image, beside what else its picture shows."""
    image_hw = subject.counts.shape
    peak = find_peak(evidence)
    return Overlay(
        counts=subject.counts,
        evidence=np.asarray(enlarge(evidence[np.newaxis], image_hw))[0],
        peak_box=None if peak is None else box_cell(peak, evidence.shape, image_hw),
        hotspots=subject.hotspots,
    )


def write_sanity(
    explainer: Explainer, subjects: Sequence[Subject], output_dir: pathlib.Path
) -> dict[str, Any] | None:
    """Checks that maps depend on the weights, and writes `sanity.json` and its figure.

    The first `SANITY_IMAGES` of the subjects that have a map take part.

    Returns:
        What the JSON file holds; None if no image has a map that could change.

    Raises:
        WriteError: if a file cannot be written.
    """
    if not subjects:
        return None
    images = np.stack([subject.counts for subject in subjects])
    _, maps = explainer.explain(images)
    fit = [
        row
        for row, (subject, evidence) in enumerate(zip(subjects, maps, strict=True))
        if shows_evidence(subject, evidence)
    ][:SANITY_IMAGES]
    if not fit:
        return None
    check = explainer.check_sanity(images[fit])
    synthetic = any(subjects[row].synthetic for row in fit)
    figure = draw_sanity(
        [
            [lay_over(subjects[row], evidence) for evidence in check.maps[:, i]]
            for i, row in enumerate(fit[: SANITY_IMAGES // 2])
        ],
        check,
        synthetic=synthetic,
    )
    save_figure(figure, output_dir / "sanity.png")
    document = check.to_json() | {
        "images": [subjects[row].name for row in fit],
        "model": explainer.run.origin,
        "synthetic": synthetic,
        "disclaimer": DISCLAIMER,
    }
    write_json(output_dir / "sanity.json", document)
    return document


def shows_evidence(subject: Subject, evidence: np.ndarray) -> bool:
    """Whether a map, (h, w), differs between places on the patient: it could change."""
    cells = evidence[find_cells(subject.counts > 0, evidence.shape)]
    return bool(np.ptp(cells)) if cells.size else False


def _check_free(path: pathlib.Path) -> None:
    """Refuses to write over what is no explanation, such as a prediction.

    Raises:
        ValueError: if `path` is that.
    """
    try:
        ours = "map" in json.loads(path.read_text())
    except FileNotFoundError:
        return
    except (ValueError, TypeError):
        ours = False
    if not ours:
        raise UserError(
            f"{path}: expected no file or an earlier explanation, found another "
            "result. Choose another --output_dir."
        )
