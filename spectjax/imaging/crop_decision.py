"""What people decide about crops: which are right, which are not, and where a box lies.

A crop that is flagged is left out of data sets, and one that is wrong and not flagged
gets in. Whoever looks at it knows better than the rules that made it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a scan holds a decision
    from spectjax.imaging.scan import BoneScan, View

BOX_GIVEN, ACCEPTED = "box given by hand", "accepted by hand"


@dataclasses.dataclass(frozen=True)
class CropDecision:
    """What a person decided about the crop of one view.

    Attributes:
        origin: table and row that say so, as in "crops.csv, row 3".
        box: (y0, x0, y1, x1) in whole-body pixels, half-open, in place of the one that
            is found; None if the person gave none.
        accepted: whether the crop that is found is right; None if a box was given.
        seen_box: the box that the person accepted or refused; None if the table does
            not say.
    """

    origin: str = dataclasses.field(compare=False)
    box: tuple[int, int, int, int] | None = None
    accepted: bool | None = None
    seen_box: tuple[int, int, int, int] | None = None


# Of the views of one file; None stands for its only one.
OfFile = Mapping["View | None", CropDecision]
# By the resolved path of the file.
CropDecisions = Mapping[Path, OfFile]


def attach(
    scans: "Sequence[BoneScan]", decisions: OfFile, *, whole: bool = True
) -> "list[BoneScan]":
    """Returns the views of a file with what was decided about the crop of each.

    Args:
        scans: the views.
        decisions: about the crops of the file.
        whole: whether these are all views of the file: then every decision is about one
            of them.

    Raises:
        ScanError: if a decision is about no view or about two, or if a view has two
            decisions.
    """
    from spectjax.imaging.scan import ScanError

    views = [scan.view for scan in scans]
    for view, decision in decisions.items() if scans else ():
        if (view is None and len(scans) > 1) or (whole and view not in (None, *views)):
            raise ScanError(
                f"{scans[0].path}: expected in {decision.origin} as view "
                f"{' or '.join(views)}, found {view or 'an empty cell'}. Correct it."
            )
    decided = []
    for scan in scans:
        made = decisions.get(scan.view if scan.view in decisions else None)
        if made is not None and scan.region != "whole_body":
            raise ScanError(
                f"{scan.path}: expected no decision about the crop of an image that is "
                f"not cropped, found one in {made.origin}. Delete it."
            )
        if made is not None and scan.crop_decision is not None:
            raise ScanError(
                f"{scan.path}: expected one decision about its crop, found two, in "
                f"{scan.crop_decision.origin} and {made.origin}. Delete one."
            )
        decided.append(dataclasses.replace(scan, crop_decision=made) if made else scan)
    return decided
