"""What a model that marks regions knows about its use: `operation.json`.

How sure it really is (calibration), what makes a region sure (weights of its features),
the smallest size that it marks, and operating points: how much is found, and how much
is marked falsely, from which score on. All of it was measured on patients that the
document names; it is carried by a run (`<workdir>/eval`) and by exported models.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spectjax.system.messages import UserError
from spectjax.system.schema import Each, Maybe, find_fault

FILE = "operation.json"
FORMAT = 2  # raise it when a name changes or what it means
# Of a region; docs/metrics.md says what each is.
FEATURES = (
    "peak_log_odds",
    "log_area_up_to_100_mm2",
    "log_spot_over_surroundings",
)
# False regions per image that a point of this name allows.
POINTS = {"specific": 0.1, "balanced": 0.25, "sensitive": 1.0}
# What most images of the healthy pass unmarked: 94 % of simulated ones, of the shipped
# model; at "balanced" it is 84 %.
DEFAULT_POINT = "specific"
_POINT = {
    "score": float,
    "false_per_image": float,
    "sensitivity": Maybe(float),
    "marked_without_lesion": Maybe(float),
}
SCHEMA: dict[str, Any] = {
    "format": int,
    "calibration": {"slope": float, "intercept": float},
    "min_log_odds": float,
    "region_score": {
        "intercept": float,
        "features": {name: {"weight": float, "mean": float} for name in FEATURES},
    },
    "min_area_mm2": float,
    "assumed_pixel_mm2": float,
    "points": Each(_POINT),
    "curve": [_POINT],
    "measured_on": {
        "data": str,
        "split": str,
        "n_images": int,
        "n_patients": int,
        "n_lesions": int,
        "synthetic": bool,
        "learnt_from": bool,
    },
}


class OperationError(UserError):
    """An operating point that there is not, or no document of them; one line."""


@dataclass(frozen=True)
class Point:
    """What is found and falsely marked if regions above a score are marked.

    Attributes:
        score: what the score of a region must exceed.
        false_per_image: false regions over images.
        sensitivity: found lesions over lesions; None without a lesion.
        marked_without_lesion: fraction of the images without lesion in which something
            is marked; None if there is none.
    """

    score: float
    false_per_image: float
    sensitivity: float | None
    marked_without_lesion: float | None


@dataclass(frozen=True)
class Feature:
    """How a feature counts: `weight` times what it is above `mean`.

    Attributes:
        weight: at least 0, so that more of it never makes a region less sure.
        mean: over the regions that the weights were fitted on; stands in for a feature
            that cannot be measured.
    """

    weight: float
    mean: float


@dataclass(frozen=True)
class Operation:
    """What a model knows about its use, see the module.

    Attributes:
        slope: of the calibrated log-odds of a probability, over its own.
        intercept: of the same.
        min_log_odds: what those of a pixel, as the model gives them, must exceed to be
            part of a region; 0 is a probability of 0.5.
        region_intercept: log-odds of the score of an average region.
        features: by the names of `FEATURES`.
        min_area_mm2: regions below it are not marked.
        assumed_pixel_mm2: area of a pixel where a file does not tell it.
        points: by name.
        curve: from no false region on; scores fall.
        measured_on: the patients behind all this.
    """

    slope: float
    intercept: float
    min_log_odds: float
    region_intercept: float
    features: Mapping[str, Feature]
    min_area_mm2: float
    assumed_pixel_mm2: float
    points: Mapping[str, Point]
    curve: tuple[Point, ...]
    measured_on: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Returns the document, see `SCHEMA`."""
        return {
            "format": FORMAT,
            "calibration": {"slope": self.slope, "intercept": self.intercept},
            "min_log_odds": self.min_log_odds,
            "region_score": {
                "intercept": self.region_intercept,
                "features": {
                    name: dataclasses.asdict(each)
                    for name, each in self.features.items()
                },
            },
            "min_area_mm2": self.min_area_mm2,
            "assumed_pixel_mm2": self.assumed_pixel_mm2,
            "points": {
                name: dataclasses.asdict(each) for name, each in self.points.items()
            },
            "curve": [dataclasses.asdict(each) for each in self.curve],
            "measured_on": dict(self.measured_on),
        }

    def choose_point(self, wanted: str | None = None) -> tuple[str, Point]:
        """Returns how an operating point is called, and the point.

        Args:
            wanted: a name of `points`, or false regions per image, a number: the lowest
                score with at most so many. None: `DEFAULT_POINT`.

        Raises:
            OperationError: if it is neither.
        """
        name = wanted or DEFAULT_POINT
        if name in self.points:
            return name, self.points[name]
        try:
            limit = float(name)
        except ValueError:
            limit = float("nan")
        within = [each for each in self.curve if each.false_per_image <= limit]
        if not within:
            raise OperationError(
                f"--operating_point={name}: expected {', '.join(self.points)}, or how "
                "many false regions per image are accepted, a number from 0."
            )
        return f"{limit:g} false regions per image", within[-1]


def parse_operation(document: Any, source: str) -> Operation:
    """Returns what `operation.json` holds.

    Args:
        document: of the file, or of an exported model's metadata.
        source: where it is from, for the message.

    Raises:
        OperationError: if it does not follow `SCHEMA`, or is of another format.
    """
    fault = find_fault(document, SCHEMA)
    if not fault and document["format"] != FORMAT:
        fault = f"format {document['format']}"
    if not fault and not (document["curve"] and DEFAULT_POINT in document["points"]):
        fault = f"no point {DEFAULT_POINT!r}, or no curve, in it"
    if fault:
        raise OperationError(
            f"{source}: expected what a model knows about its use, of format {FORMAT}, "
            f"found {fault}. Score the run again: remove its folder eval and repeat "
            "the command that trained it; export it again."
        )
    calibration, score = document["calibration"], document["region_score"]
    return Operation(
        slope=calibration["slope"],
        intercept=calibration["intercept"],
        min_log_odds=document["min_log_odds"],
        region_intercept=score["intercept"],
        features={name: _pick(Feature, score["features"][name]) for name in FEATURES},
        min_area_mm2=document["min_area_mm2"],
        assumed_pixel_mm2=document["assumed_pixel_mm2"],
        points={name: _pick(Point, each) for name, each in document["points"].items()},
        curve=tuple(_pick(Point, each) for each in document["curve"]),
        measured_on=document["measured_on"],
    )


def _pick(kind: Any, document: Mapping[str, Any]) -> Any:
    """Returns a dataclass of the entries that it has fields for."""
    names = (field.name for field in dataclasses.fields(kind))
    return kind(**{name: document.get(name) for name in names})
