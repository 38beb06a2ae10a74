"""The table of operating points, as Markdown."""

from collections.abc import Mapping
from typing import Any

from spectjax.report.external import format_bounded
from spectjax.report.markdown import format_rows, format_score


def tabulate_operation(
    operated: Mapping[str, Any], title: str = "Operating points"
) -> list[str]:
    """Returns the lines of the section on operating points, Markdown."""
    limits = list(operated["by_region_score"]["lesion"])
    source = operated["measured_on"]
    learnt = ", from which the model learned" if source["learnt_from"] else ""
    gaps = operated["calibration"]
    lines = [
        f"## {title}",
        "",
        "A region's score is the probability that it is a lesion, from its peak, its",
        "area and its contrast (docs/metrics.md). Each point is a score that a region",
        f"must exceed; it was chosen on {source['n_images']} other images of "
        f"{source['n_patients']} patients{learnt},",
        f"and regions below {operated['min_area_mm2']:.0f} mm² are not marked. What "
        "the points give here:",
        "",
        *format_rows(
            ["Point", "Score above", "Sensitivity", "Evident lesions"]
            + ["False per image", "Images without lesion: marked"],
            [
                [
                    name,
                    format_score(point["score"]),
                    format_bounded(point, "sensitivity"),
                    format_score(point["evident_sensitivity"]),
                    format_bounded(point, "false_per_image"),
                    format_bounded(point, "marked_without_lesion"),
                ]
                for name, point in operated["points"].items()
            ],
        ),
        "Sensitivity within so many false regions per image, regions ranked by their "
        "score; the best achievable, by the score that suits these very images best:",
        "",
        *format_rows(
            ["Lesions", *limits],
            [
                [title, *(format_score(ranked[limit]) for limit in limits)]
                for title, ranked in (
                    ("all", operated["by_region_score"]["lesion"]),
                    ("evident", operated["by_region_score"]["lesion.evident"]),
                )
            ],
        ),
        "Expected calibration error, before and after: "
        + "; ".join(
            f"{name} {format_score(each['ece_before'])} → "
            f"{format_score(each['ece_after'])}"
            for name, each in gaps.items()
        )
        + f". AUC of the views' scores: {format_score(operated['view_auc'])}.",
        "",
    ]
    return lines
