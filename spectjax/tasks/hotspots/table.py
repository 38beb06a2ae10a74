"""The table of segmentation models in the form of the papers, as Markdown.

Of one run, or of several models over all folds. [P1] Table 2 prints PA, CPA, Rec and
IoU of four networks; the IoU of K-means stands in its text, as the best of Fig. 11.
Whether these are pooled over pixels or averaged over images is not said. They are not
pooled: pooled scores obey 1/IoU = 1/CPA + 1/Rec - 1, and the printed IoU lie above what
that gives.

    model           printed IoU    implied by printed CPA and Rec
    U-Net           0.5941         0.5560
    U-Net-Res       0.6103         0.5655
    Mask R-CNN      0.5544         0.5241
    Mask R-CNN-Att  0.5427         0.4969
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from spectjax.metrics.pixel import SCORES, imply_iou
from spectjax.report.data_notes import count_images, end_table, name_source
from spectjax.report.external import format_bounded, tabulate_checks, tabulate_subgroups
from spectjax.report.markdown import (
    bracket,
    format_bounds,
    format_rows,
    format_score,
    tabulate_differences,
    tabulate_sizes,
    tabulate_spreads,
)
from spectjax.tasks.hotspots.detection_table import tabulate_detections
from spectjax.tasks.hotspots.labels import tabulate_labels
from spectjax.tasks.hotspots.lesion_table import tabulate_burden, tabulate_lesions
from spectjax.tasks.hotspots.operation import DEFAULT_POINT
from spectjax.tasks.hotspots.operation_table import tabulate_operation

# Rows of [P1] Table 2 as printed.
PAPER_TABLE_2: dict[str, dict[str, float]] = {
    "U-Net": {"PA": 0.9920, "CPA": 0.7624, "Rec": 0.6726, "IoU": 0.5941},
    "U-Net-Res": {"PA": 0.9818, "CPA": 0.7721, "Rec": 0.6788, "IoU": 0.6103},
    "Mask R-CNN": {"PA": 0.9724, "CPA": 0.7292, "Rec": 0.6508, "IoU": 0.5544},
    "Mask R-CNN-Att": {"PA": 0.9676, "CPA": 0.6958, "Rec": 0.6348, "IoU": 0.5427},
}
PAPER_KMEANS = {"IoU": 0.7421}  # K = 9

# How scores are averaged: the key in `metrics.json`, and what the table calls it.
_WAYS = {
    "pooled": "pooled",
    "per_image": "per image",
    "with_lesion": "per image with a lesion",
}
_NOTES = """\
Pooled: over the pixels of all images. Per image: mean over the images in which a score
is defined. CPA is undefined without a predicted pixel, Rec without a lesion pixel; IoU
and Dice are 1 where neither exists. Implied IoU = 1 / (1/CPA + 1/Rec - 1): equal to IoU
when all three are pooled. The printed rows are not pooled.
"""
# How instances become pixels.
_PAINTED = (
    "A model that marks instances paints the score of each over its mask, where masks "
    "overlap the best: that map is what pixels and lesions are scored on."
)
_FOLD_SCORES = {
    "pooled_IoU": "IoU, pooled",
    "per_image_IoU": "IoU, per image",
    "sensitivity": "Lesion sensitivity",
    "false_per_image": "False regions per image",
    "sensitivity_at_1": "Sensitivity at 1 false region per image",
}
_COMPARED = {
    "pooled_IoU": "IoU, pooled",
    "per_image_IoU": "IoU, per image",
    "with_lesion_IoU": "IoU, images with a lesion",
    "sensitivity_at_1": "Sensitivity at 1 false region per image",
}

_POINT_SCORES = {
    "sensitivity": "Sensitivity",
    "false_per_image": "False per image",
    "marked_without_lesion": "Images without lesion: marked",
}
_MARKED = {
    "sensitivity": "Sensitivity at its own threshold",
    "false_per_image": "False per image there (fewer are better)",
}
_TOLD = {"auc": "AUC of the labels of whole images"}
_GROUP_SCORES = {
    "n_lesions": "Lesions",
    "IoU": "IoU, pooled",
    **_POINT_SCORES,
}

Models = Mapping[str, Mapping[str, Any]]


def write_segmentation_table(metrics: Mapping[str, Any]) -> str:
    """Returns the scores of one model or of several below the printed ones of [P1].

    Args:
        metrics: the content of `metrics.json` of a run, or of a cross-validation.
    """
    together = "models" in metrics
    crossed = "at_equal_sensitivity" in metrics
    models: Models = (
        metrics["models"] if together else {metrics["model"]: dict(metrics)}
    )
    detections = {k: m["detection"] for k, m in models.items() if "detection" in m}
    lines = [
        f"# Segmentation scores{', cross-validated' * crossed}",
        "",
        f"{count_images(metrics)}, of these without lesion "
        f"{metrics['n_images_without_lesion']}. In brackets 95 % intervals, by "
        "bootstrap over patients.",
        "",
        *tabulate_checks(metrics),
        *_tabulate_pixels(models, name_source(metrics["data"])),
        _NOTES,
        *_count_averaged(models),
        *([_PAINTED, ""] if detections else []),
        *_tabulate_labels(models),
        *tabulate_lesions(models),
        *(tabulate_operation(metrics["operation"]) if "operation" in metrics else []),
        *_tabulate_elsewhere(metrics),
        *tabulate_burden(models),
    ]
    if together:
        lines += ["## Models compared", ""]
    if crossed:
        lines += [
            "Mean of the folds ± standard deviation:",
            "",
            *tabulate_spreads(
                "Model",
                _FOLD_SCORES,
                {k: m["folds"]["scores"] for k, m in models.items()},
            ),
        ]
    if together and not crossed:
        lines += _tabulate_points(models)
        lines += tabulate_differences(_MARKED, metrics["marked_comparisons"])
        lines += tabulate_differences(_TOLD, metrics.get("label_comparisons", []))
        lines += ["By pixels, and by the threshold that suits these images best:", ""]
    lines += tabulate_differences(_COMPARED, metrics.get("comparisons", []))
    if crossed:
        lines += [
            *_tabulate_equal_sensitivity(metrics["at_equal_sensitivity"]),
            *tabulate_sizes("Model", models),
        ]
    if detections:
        lines += tabulate_detections(
            detections, metrics.get("detection_comparisons", [])
        )
    return "\n".join([*lines, *end_table(metrics["data"])])


def _tabulate_labels(models: Models) -> list[str]:
    """Returns how well labels are told by the models that were asked for them."""
    lines = []
    for name, model in models.items():
        if "images" in model:
            told = f": {name}" * (len(models) > 1)
            taught = "external" not in model
            lines += tabulate_labels(model["images"], told, taught=taught)
    return lines


def _tabulate_points(models: Models) -> list[str]:
    """Returns what the models mark at their own points, those that know any."""
    rows = [
        [name, *(format_bounded(point, score) for score in _POINT_SCORES)]
        for name, model in models.items()
        if "operation" in model
        for point in [model["operation"]["points"][DEFAULT_POINT]]
    ]
    return [
        f"At the point {DEFAULT_POINT!r} that each model brings along:",
        "",
        *format_rows(["Model", *_POINT_SCORES.values()], rows),
    ]


def _tabulate_elsewhere(metrics: Mapping[str, Any]) -> list[str]:
    """Returns what is said besides of images that the model was not prepared with."""
    lines = []
    if "adjusted" in metrics:
        title = "Operating points measured anew on other patients of these data"
        lines += tabulate_operation(metrics["adjusted"], title)
    if "subgroups" in metrics:
        threshold = "of pixels above a probability of 0.5"
        if "operation" in metrics:
            threshold = f"at the model's own point {DEFAULT_POINT!r}"
        note = (
            f"Sensitivity and false regions {threshold}; IoU of the most probable class"
        )
        lines += tabulate_subgroups(metrics["subgroups"], _GROUP_SCORES, f"{note}.")
    return lines


def _tabulate_pixels(models: Models, source: str) -> list[str]:
    printed = "printed in Lin 2020"
    rows = [
        [model, f"{printed}, Table 2", *(format_score(scores.get(s)) for s in SCORES)]
        + [format_score(_imply_iou(scores["CPA"], scores["Rec"]))]
        for model, scores in PAPER_TABLE_2.items()
    ]
    kmeans = [format_score(PAPER_KMEANS.get(score)) for score in SCORES]
    rows.append(["K-means, K = 9", f"{printed}, Fig. 11", *kmeans, "–"])
    for name, model in models.items():
        for way, words in _WAYS.items():
            scores = model["pixel"][way]
            rows.append(
                [f"{name}, {words}", source]
                + [bracket(model, "pixel", way, s, pattern=".4f") for s in SCORES]
                + [format_score(_imply_iou(scores["CPA"], scores["Rec"]))]
            )
    return format_rows(["Segmentation model", "Data", *SCORES, "Implied IoU"], rows)


def _imply_iou(cpa: float | None, rec: float | None) -> float | None:
    """Returns `imply_iou`, 0 if nothing was hit and None if a factor is undefined."""
    if cpa is None or rec is None:
        return None
    return imply_iou(cpa, rec) if cpa > 0 and rec > 0 else 0.0


def _count_averaged(models: Models) -> list[str]:
    """Returns the table of how many images are behind each mean."""
    rows = [
        [f"{name}, {_WAYS[way]}"]
        + [str(model["pixel"][way]["n_averaged"][score]) for score in SCORES]
        for name, model in models.items()
        for way in ("per_image", "with_lesion")
    ]
    return format_rows(["Images behind each mean", *SCORES], rows)


def _tabulate_equal_sensitivity(found: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = []
    for each in found:
        rows = []
        for name, model in each["models"].items():
            fewer, high, low = map(_invert, (model["fraction"], *model["interval"]))
            rows.append(
                [name, format_score(model["false_per_image"], ".3f")]
                + [format_score(fewer, ".1f") + format_bounds((low, high), ".1f")]
                + [str(model["n_unreached"])]
            )
        lines += [
            f"False regions per image at the lesion sensitivity of {each['reference']}"
            f", {format_score(each['sensitivity'], '.3f')} with "
            f"{format_score(each['false_per_image'], '.3f')} false regions per image. "
            "Times fewer: with the 95 % interval, over the resamples in which a "
            "threshold reaches that sensitivity; those without are counted.",
            "",
            *format_rows(
                ["Model", "False regions per image", "Times fewer", "Without"], rows
            ),
        ]
    return lines


def _invert(fraction: float | None) -> float | None:
    """Returns how many times fewer a fraction is."""
    if fraction is None:
        return None
    return 1 / fraction if fraction > 0 else math.inf
