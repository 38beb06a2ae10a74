"""What becomes of the rules' box when a network that learned from the phantom is asked.

The rules of the papers come first: a box that they do not doubt is used. Limits are in
pixels of the network's canvas, so that the size of the frame does not matter; one is
some 4 of 1024 rows. They are those of five real views, as they are and spoilt in 210
ways (`docs/real_scans.md`).
"""

from typing import NamedTuple

import numpy as np

from spectjax.imaging.thorax.network import Opinion
from spectjax.imaging.thorax.transform import Box

# Spread of the edge that the network is least sure of: 3.6 in nine of ten views that it
# is right in, and 14.7 in the one where it is more than 15 px of the frame off.
_SURE = 4.5
# Between the edges of both: at most 4.4 where the rules are right. Doubtful boxes that
# were 16 to 18 px off lay 2.6 to 2.8 away.
_AGREE = 2.5
_DISAGREE = 5.0


class Verdict(NamedTuple):
    """Which rib cage is cropped, and what there is to say against it.

    Attributes:
        rib_cage: top, left, bottom and right, half-open, in pixels of the frame.
        flags: reasons to doubt it.
        cleared: doubts of the rules that the network does not share.
    """

    rib_cage: Box
    flags: tuple[str, ...]
    cleared: tuple[str, ...] = ()


def is_sure(opinion: Opinion | None, frame_hw: tuple[int, int]) -> bool:
    """Whether the network knows where all four edges lie, within the frame."""
    if opinion is None:
        return False
    (top, left, bottom, right), (height, width) = opinion.box, frame_hw
    inside = 0 <= top < bottom <= height and 0 <= left < right <= width
    return bool(inside and opinion.spread.max() <= _SURE * opinion.window[0])


def weigh(
    rules: Box,
    doubts: tuple[str, ...],
    opinion: Opinion | None,
    frame_hw: tuple[int, int],
) -> Verdict:
    """Returns the rules' rib cage, or where they are in doubt that of the network.

    Two that know nothing of each other and agree are right: doubts are cleared. If they
    differ, that is a doubt of its own.
    """
    if opinion is None or not is_sure(opinion, frame_hw):
        return Verdict(rules, doubts)
    apart = float(np.abs(opinion.box - rules).max())
    step = opinion.window[0]
    if apart <= _AGREE * step:
        return Verdict(rules, (), doubts)
    if not doubts and apart <= _DISAGREE * step:
        return Verdict(rules, ())
    seen = take_box(opinion)
    place = f"a network that learned from simulated patients sees the ribs at {seen}"
    if doubts:
        used = f"{place}, up to {apart:.0f} px from where the rules do; this is the box"
        return Verdict(seen, (*doubts, used))
    return Verdict(rules, (f"{place}, up to {apart:.0f} px from here",))


def judge_alone(opinion: Opinion, fault: str) -> Verdict:
    """Returns the rib cage of the network where the rules find none, and why."""
    flag = (
        f"the rules of the papers find {fault}; the box is where a network that "
        "learned from simulated patients sees the ribs"
    )
    return Verdict(take_box(opinion), (flag,))


def take_box(opinion: Opinion) -> Box:
    """Returns the network's rib cage in whole pixels."""
    top, left, bottom, right = (int(edge) for edge in np.rint(opinion.box))
    return top, left, bottom, right
