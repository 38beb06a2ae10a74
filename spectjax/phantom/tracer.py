"""What becomes of the tracer: uptake by the hour, decay, and counts for a detector.

Tc-99m MDP: bone takes up half of the activity within hours, blood and soft tissue
clear, the kidneys excrete the rest.
"""

from dataclasses import dataclass

import numpy as np

HALF_LIFE_HOURS = 6.02
_USUAL_HOURS = 3.0  # the uptake of the reference patient's organs is meant then


@dataclass(frozen=True)
class Exam:
    """How much was injected, how long ago, and how fast the bed moves.

    Attributes:
        activity_mbq: activity at the time of injection.
        hours: from the injection to the scan.
        speed_mm_s: of the bed; 10 to 15 cm/min, less in a slow scan.
        sensitivity_cps_per_mbq: of one detector behind its collimator, in air.
        aperture_mm: length of the detector along the bed. Each part of the body is
            seen for the time that the bed takes for it.
    """

    activity_mbq: float
    hours: float
    speed_mm_s: float
    sensitivity_cps_per_mbq: float
    aperture_mm: float

    @property
    def counts_per_share(self) -> float:
        """Counts of the whole injected activity, decayed, in air, by one detector."""
        decayed_mbq = self.activity_mbq * 2 ** (-self.hours / HALF_LIFE_HOURS)
        seconds = self.aperture_mm / self.speed_mm_s
        return decayed_mbq * self.sensitivity_cps_per_mbq * seconds


def draw_hours(rng: np.random.Generator) -> float:
    """Draws the time from injection to scan: 2 to 5 h, mostly around 3."""
    return float(2 + 3 * rng.beta(2, 3))


def draw_exam(rng: np.random.Generator, hours: float, weight_kg: float) -> Exam:
    """Draws activity, speed and camera.

    Activity is dosed by weight, within 370 to 740 MBq; below 45 kg, children, less.
    """
    least = min(370.0, 8.25 * weight_kg)
    activity = np.clip(7.5 * weight_kg * rng.lognormal(0, 0.08), least, 740)
    slow = rng.random() < 0.12
    cm_per_min = np.exp(rng.uniform(np.log(3.5), np.log(8))) if slow else 0.0
    return Exam(
        activity_mbq=float(activity),
        hours=hours,
        speed_mm_s=float((cm_per_min or rng.uniform(10, 15)) * 10 / 60),
        sensitivity_cps_per_mbq=float(rng.uniform(45, 60)),
        aperture_mm=float(rng.uniform(140, 165)),
    )


def share_in_bone(hours: float) -> float:
    """Returns the share of the injected activity that bone holds, without decay."""
    return float(0.55 * (1 - np.exp(-hours / 1.0)))


def share_in_soft_tissue(hours: float) -> float:
    """Returns the share of the injected activity in blood and soft tissue."""
    return float(0.06 + 0.45 * np.exp(-hours / 1.3))


def clear_soft_tissue(hours: float) -> float:
    """Returns soft tissue over bone, relative to what it is 3 h after injection."""
    now, usual = (
        share_in_soft_tissue(time) / share_in_bone(time)
        for time in (hours, _USUAL_HOURS)
    )
    return now / usual


def clear_urine(hours: float) -> float:
    """Returns kidneys and urine over bone, relative to 3 h after injection."""
    now, usual = (
        np.exp(-time / 2.5) / share_in_bone(time) for time in (hours, _USUAL_HOURS)
    )
    return float(now / usual)
