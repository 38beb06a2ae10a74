"""Tables of what was found lesion by lesion and of burden, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from spectjax.report.markdown import format_rows

_RULE = """\
A lesion is a connected region of the readers' mask (pixels that touch by a corner are
connected); touching lesions count as one. The model's regions are those of the pixels
whose hotspot probability exceeds a threshold. A region and a lesion meet if their
intersection over union is at least {min_iou:g}: a lesion that a region meets is found,
a region that meets no lesion is false. At a number of false regions per image, the
threshold with the best sensitivity that stays within it counts; the last column has it.
Dice and Hausdorff 95 compare lesions found at 0.5 with the regions that meet them.
Contrast: mean counts in the lesion over the median counts of a ring around it. In
brackets: 95 % intervals, bootstrap over patients.
"""
_BURDEN = """\
Per image, model minus readers, over the images in which either marked something; bias
with its 95 % interval, limits of agreement 1.96 standard deviations to either side
(Bland and Altman), Lin's concordance.
"""


def write_lesion_tables(metrics: Mapping[str, Any]) -> list[str]:
    """Returns the lines of the sections on lesions and burden.

    Args:
        metrics: the content of `eval/metrics.json`.
    """
    lesion, intervals = metrics["lesion"], metrics["intervals"]
    without = lesion["without_lesion"]
    false_per_image = format_bounded(
        lesion["false_per_image"], intervals["lesion.false_per_image"]
    )
    clean = format_bounded(without["clean"], intervals["lesion.without_lesion.clean"])
    return [
        "## Lesions",
        "",
        _RULE.format(min_iou=lesion["min_iou"]),
        f"At the threshold {lesion['threshold']:g} the model marks {lesion['regions']} "
        f"regions, {lesion['false_regions']} of them false: {false_per_image} per "
        f"image. Images without lesion: {without['n_images']}; fraction of these "
        f"without a false region: {clean}.",
        "",
        *_tabulate_sensitivity(lesion, intervals),
        "",
        *_tabulate_classes(lesion, intervals),
        "",
        "## Burden",
        "",
        _BURDEN,
        *_tabulate_burden(metrics["burden"], intervals),
        "",
    ]


def format_bounded(
    score: float | None, interval: Sequence[float | None], pattern: str = ".3f"
) -> str:
    """Returns a score and, in brackets, its interval; a dash for what is undefined."""
    if score is None:
        return "–"
    low, high = (_format(bound, pattern) for bound in interval)
    return f"{format(score, pattern)} [{low}, {high}]"


def _tabulate_sensitivity(
    lesion: Mapping[str, Any], intervals: Mapping[str, Any]
) -> list[str]:
    """Returns the sensitivity for all and for evident lesions, a row for each point."""
    evident = lesion["evident"]
    columns = [("lesion", lesion), ("lesion.evident", evident)]
    rows = [
        ["number"] + [str(scores["n"]) for _, scores in columns] + [""],
        ["found at 0.5"] + [str(scores["found"]) for _, scores in columns] + ["0.5"],
        ["sensitivity at 0.5"]
        + [
            format_bounded(scores["sensitivity"], intervals[f"{path}.sensitivity"])
            for path, scores in columns
        ]
        + ["0.5"],
    ]
    for limit in lesion["sensitivity_at"]:
        path_at = f"sensitivity_at.{limit}"
        rows.append(
            [f"sensitivity at {limit} false per image"]
            + [
                format_bounded(
                    scores["sensitivity_at"][limit], intervals[f"{path}.{path_at}"]
                )
                for path, scores in columns
            ]
            + [_format_threshold(lesion["threshold_at"][limit])]
        )
    title = (
        f"{evident['min_area_px']} px and more at a contrast of "
        f"{evident['min_contrast']:g} and more"
    )
    return format_rows(["Lesions", "All", title, "Threshold, all"], rows)


def _tabulate_classes(
    lesion: Mapping[str, Any], intervals: Mapping[str, Any]
) -> list[str]:
    """Returns the scores of all lesions and of each class of size and contrast."""
    classes = [("all", "lesion", lesion)]
    for section, word in (("by_size", "diameter"), ("by_contrast", "contrast")):
        classes += [
            (f"{word} {name}", f"lesion.{section}.{name}", scores)
            for name, scores in lesion[section].items()
        ]
    rows = [
        [
            name,
            str(scores["n"]),
            format_bounded(scores["sensitivity"], intervals[f"{path}.sensitivity"]),
            format_bounded(
                scores["sensitivity_at"]["1"], intervals[f"{path}.sensitivity_at.1"]
            ),
            _format(scores["dice"], ".3f"),
            _format(scores["hausdorff95_mm"], ".1f"),
        ]
        for name, path, scores in classes
    ]
    titles = ["Lesions", "Number", "Sensitivity at 0.5"]
    titles += ["At 1 false region per image", "Dice", "Hausdorff 95, mm"]
    return format_rows(titles, rows)


def _tabulate_burden(
    burden: Mapping[str, Any], intervals: Mapping[str, Any]
) -> list[str]:
    """Returns the agreement of area and counts."""
    rows = []
    for name, title in (("area_mm2", "area, mm²"), ("counts", "counts")):
        scores = burden[name]
        low, high = (_format(scores[end], ".0f") for end in ("low", "high"))
        rows.append(
            [
                title,
                str(scores["n"]),
                format_bounded(
                    scores["bias"], intervals[f"burden.{name}.bias"], pattern=".0f"
                ),
                _format(scores["sd"], ".0f"),
                f"{low} to {high}",
                _format(scores["concordance"], ".3f"),
            ]
        )
    titles = ["Burden", "Images", "Bias", "SD", "Limits of agreement", "Concordance"]
    return format_rows(titles, rows)


def _format_threshold(threshold: float | None) -> str:
    """Returns a probability as text that is not 1 just below 1."""
    near_one = threshold is not None and threshold > 0.99
    return _format(threshold, ".6f" if near_one else ".3g")


def _format(score: float | None, pattern: str) -> str:
    """Returns a score as text, a dash for an undefined one."""
    return "–" if score is None else format(score, pattern)
