"""Tables in the form of the papers, as Markdown.

[P1] Table 2 prints PA, CPA, Rec and IoU of four models. Whether its scores are pooled
over pixels or averaged over images is not said. They are not pooled: pooled scores obey
1/IoU = 1/CPA + 1/Rec - 1, and the printed IoU lie above what that gives.

    model           printed IoU    implied by printed CPA and Rec
    U-Net           0.5941         0.5560
    U-Net-Res       0.6103         0.5655
    Mask R-CNN      0.5544         0.5241
    Mask R-CNN-Att  0.5427         0.4969
"""

from collections.abc import Mapping
from typing import Any

from spectjax.metrics.pixel import SCORES, imply_iou
from spectjax.system.messages import DISCLAIMER
from spectjax.tasks.hotspots.detection_table import write_detection_tables
from spectjax.tasks.hotspots.lesion_table import write_lesion_tables

# Rows of [P1] Table 2 as printed.
PAPER_TABLE_2: dict[str, dict[str, float]] = {
    "U-Net": {"PA": 0.9920, "CPA": 0.7624, "Rec": 0.6726, "IoU": 0.5941},
    "U-Net-Res": {"PA": 0.9818, "CPA": 0.7721, "Rec": 0.6788, "IoU": 0.6103},
    "Mask R-CNN": {"PA": 0.9724, "CPA": 0.7292, "Rec": 0.6508, "IoU": 0.5544},
    "Mask R-CNN-Att": {"PA": 0.9676, "CPA": 0.6958, "Rec": 0.6348, "IoU": 0.5427},
}

# How scores are averaged: the key in `metrics.json`, and what the table calls it.
WAYS = (
    ("pooled", "pooled"),
    ("per_image", "per image"),
    ("with_lesion", "per image with a lesion"),
)

_NOTES = """\
Per image: mean over the images in which a score is defined. CPA is undefined without a
predicted pixel, Rec without a lesion pixel; IoU and Dice are 1 where neither exists.
Implied IoU = 1 / (1/CPA + 1/Rec - 1): equal to IoU when all three are pooled. In the
printed rows it is not.
"""


# How instances become pixels.
PAINTED = (
    "A model that marks instances paints the score of each over its mask, where masks "
    "overlap the best: that map is what pixels and lesions are scored on."
)


def write_segmentation_table(metrics: Mapping[str, Any]) -> str:
    """Returns the run's scores below the four printed rows of [P1] Table 2.

    Scores of lesions, of burden and, of a model that marks instances, of detections
    follow in tables of their own.

    Args:
        metrics: the content of `eval/metrics.json`.
    """
    data, pixel = metrics["data"], metrics["pixel"]
    label = "SYNTHETIC, " if data["synthetic"] else ""
    source = f"{label}{data['name']} {data['split']}"
    rows = [
        (model, "printed in Lin 2020, Table 2", scores)
        for model, scores in PAPER_TABLE_2.items()
    ]
    rows += [
        (f"{metrics['model']}, {title}", source, pixel[way]) for way, title in WAYS
    ]

    lines = [
        "# Segmentation scores",
        "",
        f"{'Scored' if data['leaking'] else 'Held out'}: patients "
        f"{metrics['n_patients']}, images {metrics['n_images']}, of these without "
        f"lesion {metrics['n_images_without_lesion']}.",
        "",
        f"| Segmentation model | Data | {' | '.join(SCORES)} | Implied IoU |",
        "|---|---|" + "---|" * (len(SCORES) + 1),
    ]
    for model, origin, scores in rows:
        cells = [_format_score(scores.get(name)) for name in SCORES]
        cells.append(_format_score(_imply_iou(scores["CPA"], scores["Rec"])))
        lines.append(f"| {model} | {origin} | {' | '.join(cells)} |")
    lines += ["", *_tabulate_intervals(metrics["intervals"]), "", _NOTES]
    for way, title in WAYS[1:]:
        n_averaged = pixel[way]["n_averaged"]
        averaged = ", ".join(f"{name} {n_averaged[name]}" for name in SCORES)
        lines += [f"Images behind each mean, {title}: {averaged}.", ""]
    if "detection" in metrics:
        lines += [PAINTED, ""]
    lines += write_lesion_tables(metrics)
    if "detection" in metrics:
        lines += write_detection_tables({metrics["model"]: metrics["detection"]})
    if data["leaking"]:
        lines += [
            "**LEAKING**: copies of these patients' images were trained on, as in the "
            "papers; the scores say little about new patients.",
            "",
        ]
    if data["synthetic"]:
        lines += [
            "**SYNTHETIC**: these scores come from simulated patients and say nothing "
            "about real ones.",
            "",
        ]
    lines += [DISCLAIMER, ""]
    return "\n".join(lines)


def _tabulate_intervals(intervals: Mapping[str, Any]) -> list[str]:
    """Returns the intervals of the pixel scores."""
    lines = [
        f"| 95 % interval, bootstrap over patients | {' | '.join(SCORES)} |",
        "|---|" + "---|" * len(SCORES),
    ]
    for way, title in WAYS:
        bounds = (intervals[f"pixel.{way}.{name}"] for name in SCORES)
        cells = [
            f"{_format_score(low)} to {_format_score(high)}" for low, high in bounds
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _imply_iou(cpa: float | None, rec: float | None) -> float | None:
    """Returns `imply_iou`, 0 if nothing was hit and None if a factor is undefined."""
    if cpa is None or rec is None:
        return None
    return imply_iou(cpa, rec) if cpa > 0 and rec > 0 else 0.0


def _format_score(score: float | None) -> str:
    """Returns four decimals as [P1] prints them, a dash for an undefined score."""
    return "–" if score is None else f"{score:.4f}"
