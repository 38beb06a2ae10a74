"""What an index should reach, and whether it does."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from scripts.burden.examinations import LYING_AGAIN
from scripts.burden.finders import BONES, WHOLE
from scripts.burden.measures import TRUE
from scripts.burden.summary import LEAST_PAIRS, PRODUCT, TRUTH

_MOST_SD = 0.15
_MOST_FALSE = 0.3


class Bar(NamedTuple):
    """A goal: what, how good, what was found, and whether that is enough.

    `met` is None if nothing was found.
    """

    what: str
    wanted: str
    found: str
    met: bool | None


def list_bars(document: Mapping[str, Any]) -> list[Bar]:
    """Returns the goals of the index of the whole body, see `summarise`.

    Slopes are those through the origin, as in the table that the goals come from.
    """
    return [
        _judge_agreement(
            "true hotspots and found bones, against true bones",
            document, f"{TRUE}/{BONES}", 0.99, (0.95, 1.05),
        ),
        _judge_agreement(
            "found hotspots and bones, against the planar truth",
            document, PRODUCT["whole body"], 0.95, (0.9, 1.1),
        ),
        *_judge_repeats(document),
        _judge_false(document),
    ]  # fmt: skip


def _judge_agreement(
    what: str,
    document: Mapping[str, Any],
    who: str,
    least_r: float,
    slopes: tuple[float, float],
) -> Bar:
    wanted = f"r at least {least_r:g}, slope {slopes[0]:g} to {slopes[1]:g}"
    for row in document["agreement"]:
        if (row["extent"], row["found"], row["truth"]) == ("whole body", who, TRUTH):
            r, slope = row["r"], row["slope_origin"]
            met = r >= least_r and slopes[0] <= slope <= slopes[1]
            found = f"r {r:.3f}, slope {slope:.3f}, n = {row['n']}"
            return Bar(what, wanted, found, bool(met))
    return Bar(what, wanted, "–", None)


def _judge_repeats(document: Mapping[str, Any]) -> list[Bar]:
    """Returns the goal of each level of up to 3 %."""
    bars = []
    for group in ("0.5", "1", "3"):
        bar = Bar(
            f"SD of the difference of two scans, {LYING_AGAIN}, about {group} %",
            f"at most {_MOST_SD}",
            "–",
            None,
        )
        for row in document["repeats"]:
            key = (row["extent"], row["found"], row["what"], row["group"])
            if key == ("whole body", PRODUCT["whole body"], LYING_AGAIN, group):
                if row["n"] < LEAST_PAIRS:
                    bar = bar._replace(found=f"too few pairs, {row['n']}")
                    continue
                found = f"{row['sd']:.3f}, n = {row['n']}"
                bar = bar._replace(found=found, met=bool(row["sd"] <= _MOST_SD))
        bars.append(bar)
    return bars


def _judge_false(document: Mapping[str, Any]) -> Bar:
    what, wanted = "false hotspots of a normal whole body", f"at most {_MOST_FALSE}"
    row = document["false"].get(WHOLE)
    if row is None:
        return Bar(what, wanted, "–", None)
    found = f"{row['per_body']:.2f}, n = {row['n']}"
    return Bar(what, wanted, found, row["per_body"] <= _MOST_FALSE)
