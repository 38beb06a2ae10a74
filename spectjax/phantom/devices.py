"""Gamma cameras of other hospitals, and how these use them.

The patients of a seed are the same whoever scans them; what readers see in them is not.
"""

from dataclasses import replace
from typing import NamedTuple

from spectjax.phantom.frames import Frame
from spectjax.phantom.tracer import Exam


class Device(NamedTuple):
    """What a hospital's scans have that those of the usual one have not.

    Attributes:
        hole_diameter_mm: of the collimator.
        sensitivity: of a detector behind it, in that of the usual one.
        speed: of the bed, in the usual one.
        activity: that is injected, in the usual one.
        frame: of all scans; None: one of those that the papers' scans have.
    """

    hole_diameter_mm: float
    sensitivity: float
    speed: float
    activity: float
    frame: Frame | None

    def use(self, exam: Exam) -> Exam:
        """Returns the exam as this hospital does it."""
        return replace(
            exam,
            activity_mbq=self.activity * exam.activity_mbq,
            speed_mm_s=self.speed * exam.speed_mm_s,
            sensitivity_cps_per_mbq=self.sensitivity * exam.sensitivity_cps_per_mbq,
        )


USUAL = Device(1.11, 1.0, 1.0, 1.0, None)
# Low-energy all-purpose holes let more through and show less detail: 1.45 mm wide, and
# 330 counts a minute and uCi to the 202 of high resolution (Siemens Symbia's data
# sheet). Less is injected, and the bed moves at 20 to 30 cm/min: half of the counts.
_FAST = Device(1.45, 330 / 202, 2.0, 0.6, None)
DEVICES = {
    "usual": USUAL,
    "fast": _FAST,
    "coarse": _FAST._replace(frame=Frame((512, 128), 4.7)),
}
