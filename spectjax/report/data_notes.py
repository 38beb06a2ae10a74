"""What tables and figures of all tasks say of the data behind them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from spectjax.system.messages import DISCLAIMER

_LEAKING = (
    "**LEAKING**: copies of these patients' images were trained on, as in the papers; "
    "the scores say little about new patients."
)
_SYNTHETIC = (
    "**SYNTHETIC**: these scores come from simulated patients and say nothing about "
    "real ones."
)


def count_images(metrics: Mapping[str, Any]) -> str:
    """Returns how many patients and images were scored, the start of a sentence.

    Args:
        metrics: the content of `metrics.json`, of a run or of a cross-validation.
    """
    patients, images = metrics["n_patients"], metrics["n_images"]
    if metrics["data"].get("external"):
        return f"Scored: patients {patients}, images {images}, from elsewhere"
    if "models" in metrics:
        return f"Every one of {patients} patients was held out once: images {images}"
    how = "Scored" if metrics["data"]["leaking"] else "Held out"
    return f"{how}: patients {patients}, images {images}"


def name_source(data: Mapping[str, Any]) -> str:
    """Returns what a row of ours was scored on."""
    words = ["SYNTHETIC"] * data["synthetic"] + ["LEAKING"] * data["leaking"]
    return ", ".join([*words, f"{data['name']} {data['split']}"])


class Caption(NamedTuple):
    """What a figure says of itself, see `picture_parts.add_caption`.

    Attributes:
        title: what is shown, one line.
        subtitle: what else to know, one line.
        synthetic: whether the images are simulated.
    """

    title: str
    subtitle: str
    synthetic: bool


def caption_data(metrics: Mapping[str, Any], title: str) -> Caption:
    """Returns a title, and what every figure says about its images.

    Args:
        metrics: a document with `data`, `n_images` and `n_patients`.
        title: what is shown, one line.
    """
    data = metrics["data"]
    leaking = "LEAKING, " if data.get("leaking") else ""
    images = f"{metrics['n_images']} images of {metrics['n_patients']} patients"
    subtitle = f"{leaking}{data['name']} {data['split']}: {images}"
    return Caption(title, subtitle, data["synthetic"])


def end_table(data: Mapping[str, Any]) -> list[str]:
    """Returns the last lines of a table: what its data are, and what it is not."""
    lines = []
    for name, text in (("leaking", _LEAKING), ("synthetic", _SYNTHETIC)):
        lines += [text, ""] if data[name] else []
    return [*lines, DISCLAIMER, ""]
