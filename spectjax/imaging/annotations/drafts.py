"""Drafts: what a model marked, as a LabelMe file that a reader corrects.

LabelMe, which 5.5.0 and 6.3.1 were asked, writes its own version into every file that
it saves, and keeps what it does not know. So a file with our version was saved by
nobody, and one that was saved still tells what the draft said. It saves only what was
changed; the flag `checked` is there so that a reader has something to change where the
draft is right.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from spectjax.imaging.annotations.regions import (
    check_count,
    check_inside,
    make_polygon,
    read_points,
)
from spectjax.system.messages import UserError
from spectjax.system.schema import Maybe, find_fault

VERSION = "5.5.0+draft"
KEY = "spectjax_draft"  # of the record in the file
CHECKED = "checked"  # flag of the image
MARK = "draft: "  # begins the flags of outlines that say nothing of lesions
FORMAT = 1
_SCHEMA = {
    "format": int,
    "model": str,
    "image_key": str,
    "patient_key": str,
    "synthetic": bool,
    "crop_box": [int],
    "spacing_mm": Maybe([float]),
    "score_above": float,
    "outlines": [{"category": str, "score": float, "points": [[float]]}],
}
_LOOK = (
    f"Open it in LabelMe, correct the whole picture, tick {CHECKED!r} under Flags and "
    "save it; or move the file elsewhere"
)


class DraftError(UserError):
    """A draft that is nobody's annotation yet."""


class DraftOutline(NamedTuple):
    """An outline that a model drew.

    Attributes:
        category: its word.
        score: how sure the model was.
        polygon_xy: corners in the frame, float64, (N, 2).
    """

    category: str
    score: float
    polygon_xy: np.ndarray


@dataclasses.dataclass(frozen=True)
class Draft:
    """What a model drew for a reader to correct.

    Attributes:
        model: which one, one line.
        image_key: of the image, as of its `BoneScan`.
        patient_key: likewise.
        synthetic: likewise.
        crop_box: what the model looked at, (y0, x0, y1, x1), frame pixels, half-open.
        spacing_mm: likewise.
        score_above: what the scores of its outlines exceed.
        outlines: by falling score.
        is_checked: whether a reader has set the flag.
    """

    model: str
    image_key: str
    patient_key: str
    synthetic: bool
    crop_box: tuple[int, int, int, int]
    spacing_mm: tuple[float, float] | None
    score_above: float
    outlines: tuple[DraftOutline, ...]
    is_checked: bool = False

    def to_json(self) -> dict[str, Any]:
        """Returns the record that stays in the file, see `_SCHEMA`."""
        return {
            "format": FORMAT,
            "model": self.model,
            "image_key": self.image_key,
            "patient_key": self.patient_key,
            "synthetic": self.synthetic,
            "crop_box": list(self.crop_box),
            "spacing_mm": self.spacing_mm,
            "score_above": self.score_above,
            "outlines": [
                {
                    "category": each.category,
                    "score": each.score,
                    "points": each.polygon_xy.tolist(),
                }
                for each in self.outlines
            ],
        }

    def make_shapes(self) -> list[dict[str, Any]]:
        """Returns the outlines as LabelMe has them."""
        return [
            {
                "label": each.category,
                "points": each.polygon_xy.tolist(),
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {
                    f"{MARK}score {each.score:.3f}": True,
                    f"{MARK}model {self.model}": True,
                },
                "mask": None,
            }
            for each in self.outlines
        ]


def read_draft(
    document: Mapping[str, Any], image_hw: tuple[int, int] | None
) -> Draft | None:
    """Returns the draft that a LabelMe document began as; None if it is no draft.

    Args:
        document: what the file holds.
        image_hw: (H, W) that it states; None if it does not.

    Raises:
        DraftError: if nobody has saved it since, or if it is left without outlines and
            no flag says that somebody looked: that would call the image normal.
        UserError: if the record is damaged.
    """
    if document.get("version") == VERSION:
        raise DraftError(
            "expected an annotation, found a model's draft that nobody has saved in "
            f"LabelMe. {_LOOK}"
        )
    record = document.get(KEY)
    if record is None:
        return None
    draft = _read_record(record, image_hw)
    flags = document.get("flags")
    is_checked = isinstance(flags, dict) and flags.get(CHECKED) is True
    if not document["shapes"] and not is_checked:
        raise DraftError(
            f"expected outlines, or {CHECKED!r} ticked, found a draft that was saved "
            f"without either: nobody says that the image is normal. {_LOOK}"
        )
    return dataclasses.replace(draft, is_checked=is_checked)


def _read_record(record: Any, image_hw: tuple[int, int] | None) -> Draft:
    """Returns what a draft said."""
    fault = find_fault(record, _SCHEMA)
    if not fault and record["format"] != FORMAT:
        fault = f"format {record['format']}"
    fault = fault or _find_wrong_number(record, image_hw)
    if fault:
        raise UserError(
            f"expected {KEY!r} as predict wrote it, of format {FORMAT}, found {fault}"
        )
    outlines = [
        (each["category"], each["score"], read_points(each["points"], each["category"]))
        for each in record["outlines"]
    ]
    check_count(len(outlines), sum(len(points) for _, _, points in outlines))
    for category, _, points in outlines:
        make_polygon(points, category)
        check_inside(points, image_hw, category)
    spacing = record.get("spacing_mm")
    return Draft(
        model=record["model"],
        image_key=record["image_key"],
        patient_key=record["patient_key"],
        synthetic=record["synthetic"],
        crop_box=tuple(record["crop_box"]),
        spacing_mm=tuple(spacing) if spacing else None,
        score_above=record["score_above"],
        outlines=tuple(DraftOutline(*each) for each in outlines),
    )


def _find_wrong_number(
    record: Mapping[str, Any], image_hw: tuple[int, int] | None
) -> str:
    """Returns which number of a record cannot be; empty if all can."""
    height, width = image_hw or (0, 0)
    sides, spacing = record["crop_box"], record.get("spacing_mm") or (1.0, 1.0)
    y0, x0, y1, x1 = sides if len(sides) == 4 else (0, 0, 0, 0)
    if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
        return "no box inside of the image as its crop_box"
    if len(spacing) != 2 or not all(0 < each < math.inf for each in spacing):
        return "no size of a pixel as its spacing_mm"
    scores = [record["score_above"], *(each["score"] for each in record["outlines"])]
    if not all(0 <= each <= 1 for each in scores):
        return "a score that is not between 0 and 1"
    return ""
