"""What is said to people about what a model marks: no more than it can know.

A bone scan shows uptake. Whether a hotspot is a metastasis, a fracture or a worn joint
is for those to say who know the patient; a model that learned from outlines of
metastases has seen nothing else that is hot, and does not know either.
"""

from collections.abc import Mapping
from typing import Any

from spectjax.tasks.views import ModelInfo, SeenView

FINDING = "abnormal uptake"
# Of data sets whose readers were asked for all that calls for another look.
_SUSPICIOUS = "screening"


def name_finding(model_info: ModelInfo) -> str:
    """Returns what the marks of a model stand for, a few words."""
    members = model_info.get("members", [model_info])
    data = [str(member.get("data")) for member in members]
    if all(_SUSPICIOUS in name for name in data):
        return f"{FINDING} (trained on outlines of suspicious uptake)"
    return f"{FINDING} (trained on outlines of metastases)"


def state_finding(
    view: SeenView,
    marked: int,
    model_info: ModelInfo,
    operated: Mapping[str, Any] | None,
) -> str:
    """Returns what was found in a view, in one sentence or two.

    Args:
        view: what was seen. Of a crop in doubt nothing is said but what is marked.
        marked: number of hotspots.
        model_info: where the model comes from.
        operated: see `spectjax.tasks.hotspots.findings.report_hotspots`.
    """
    regions = f"{marked} region{'s' * (marked != 1)}" if marked else "No region"
    said = f"{regions} marked as {name_finding(model_info)}"
    if view.in_doubt:
        said += "; the crop is in doubt, so that this is no reading of the view"
    if operated is None:
        return f"{said}."
    return (
        f"{said}. Operating point {operated['point']}: score above "
        f"{operated['score_above']:.2f}, {operated['min_area_mm2']:.0f} mm² and more"
        f"{count_left_out(operated).replace(',', ';', 1)}."
    )


def count_left_out(operated: Mapping[str, Any] | None) -> str:
    """Returns how many regions are not marked, and why; empty if all are."""
    if operated is None:
        return ""
    left = operated["left_out"]
    small, unsure = left["too_small"], left["score_too_low"]
    words = [f"{small} too small"] * bool(small) + [f"{unsure} unsure"] * bool(unsure)
    return f", left out: {', '.join(words)}" if words else ""
