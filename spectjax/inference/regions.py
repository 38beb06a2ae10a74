"""Which part of the body a model learned from, and whether an image shows the same.

A region is one of `spectjax.imaging.scan.REGIONS`, or a `WHOLE_FRAME`. Whole bodies
are cropped to the thorax, so that to a model they and thoraxes are one; whole frames
are not.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from spectjax.imaging.canvas import WHOLE_FRAME
from tfds_spect.names import PHANTOM, WHOLE_BODY

LEARNED = "trained_on_regions"  # what a model tells of itself
UNKNOWN = (
    "whether it learned from the part of the body that these images show: it does not "
    "say from which (it is older than the note of it, or was never scored)"
)
_KINDS = {
    **{"whole_body": "thorax", "thorax": "thorax", "chest_half": "chest half"},
    WHOLE_FRAME: "whole body",
}
_MANY = {
    **{"thorax": "thoraxes", "chest half": "chest halves"},
    "whole body": "whole bodies",
}


def tell_regions(stated: Any, data: Any) -> str | None:
    """Returns the regions that a model learned from, with commas; None if unknown.

    Args:
        stated: what its scores or its file say of it; older ones say nothing.
        data: that section of its config; anything else tells nothing.
    """
    found = set(str(stated).split(", ")) & set(_KINDS)
    settings = data if isinstance(data, Mapping) else {}
    name = str(settings.get("name"))
    of_frames = name.startswith(WHOLE_BODY)
    if name.endswith(PHANTOM):  # there are no other simulated images
        found.add(WHOLE_FRAME if of_frames else "whole_body")
    # A thorax is cut to halves too, see `spectjax.training.randomise`.
    if found and settings.get("randomisation") and not of_frames:
        found.add("chest_half")
    return ", ".join(sorted(found)) or None


def add_regions(info: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Returns what a file tells of its model, with the regions; `config` is its own."""
    data = config.get("data") if isinstance(config, Mapping) else None
    return {**info, LEARNED: tell_regions(info.get(LEARNED), data)}


def is_unknown(info: Mapping[str, Any]) -> bool:
    """Whether a model, or a member of the ensemble, does not tell its regions."""
    return not all(each.get(LEARNED) for each in info.get("members", [info]))


def tell_unknown(info: Mapping[str, Any]) -> None:
    """Says on stderr if a model does not tell its regions."""
    if is_unknown(info):
        print(f"NOT checked of the model: {UNKNOWN}.", file=sys.stderr, flush=True)


def describe_mismatch(info: Mapping[str, Any], region: str) -> str:
    """Returns that a model learned from other parts of the body alone, or nothing."""
    kind = _KINDS[region]
    members = info.get("members", [info])
    learned = [
        {_KINDS[name] for name in each[LEARNED].split(", ")}
        for each in members
        if each.get(LEARNED)
    ]
    others = [kinds for kinds in learned if kind not in kinds]
    if not others:
        return ""
    who = "the model"
    if len(members) > 1:
        who = f"{len(others)} of the {len(members)} models"
    alone = " and ".join(_MANY[each] for each in sorted(others[0]))
    return (
        f"{who} learned from {alone} alone, this is a {kind}: what is said of it means "
        "little"
    )


def list_mismatches(info: Mapping[str, Any], regions: Iterable[str]) -> list[str]:
    """Returns the lines of `describe_mismatch` about images of some regions."""
    lines = (describe_mismatch(info, region) for region in regions)
    return [line for line in dict.fromkeys(lines) if line]
