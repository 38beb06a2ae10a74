"""What tables and figures of all tasks say of the data behind them."""

from collections.abc import Mapping
from typing import Any

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
    if "models" in metrics:
        return f"Every one of {patients} patients was held out once: images {images}"
    how = "Scored" if metrics["data"]["leaking"] else "Held out"
    return f"{how}: patients {patients}, images {images}"


def name_source(data: Mapping[str, Any]) -> str:
    """Returns what a row of ours was scored on."""
    words = ["SYNTHETIC"] * data["synthetic"] + ["LEAKING"] * data["leaking"]
    return ", ".join([*words, f"{data['name']} {data['split']}"])


def caption_data(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what every figure says about its images, `subtitle` and `synthetic`.

    Args:
        metrics: a document with `data`, `n_images` and `n_patients`.
    """
    data = metrics["data"]
    leaking = "LEAKING, " if data.get("leaking") else ""
    return {
        "subtitle": f"{leaking}{data['name']} {data['split']}: "
        f"{metrics['n_images']} images of {metrics['n_patients']} patients",
        "synthetic": data["synthetic"],
    }


def end_table(data: Mapping[str, Any]) -> list[str]:
    """Returns the last lines of a table: what its data are, and what it is not."""
    lines = []
    for name, text in (("leaking", _LEAKING), ("synthetic", _SYNTHETIC)):
        lines += [text, ""] if data[name] else []
    return [*lines, DISCLAIMER, ""]
