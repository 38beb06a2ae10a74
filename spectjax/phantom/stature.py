"""How patients differ in size, shape and in how they lie: draws of a `Posture`."""

from dataclasses import replace

import numpy as np

from spectjax.phantom.posture import STATIONS_MM, Posture

# Height of children in that of adults (CDC growth charts, both sexes).
_GROWTH_YEARS, _GROWTH = [8, 10, 12, 14, 16, 18], [0.75, 0.81, 0.88, 0.95, 0.985, 1.0]


def draw_posture(
    rng: np.random.Generator,
    frame_hw: tuple[int, int],
    spacing_mm: float,
    sex: str,
    age: int,
) -> Posture:
    """Draws the size and position of a patient that fits into the frame."""
    grown = float(np.interp(age, _GROWTH_YEARS, _GROWTH))
    height, widest = (0.94, 1.10) if sex == "F" else (0.995, 1.14)
    height = np.clip(rng.normal(height, 0.042), 0.84, 1.10)
    breadth = grown * np.clip(height * rng.normal(1.0, 0.045), 0.84, widest)
    girth = _draw_girth(rng)
    stretch = grown * height * _draw_stretch(rng)
    # A child's head is nearly that of an adult.
    stretch[0] *= grown**-0.6
    head_breadth = grown**0.3 * np.clip(rng.normal(1.04, 0.03), 0.95, 1.12)
    length_px = np.diff(STATIONS_MM) @ stretch / spacing_mm
    lowest = min(230 / spacing_mm, frame_hw[0] * 0.875 - length_px)
    shoulder_drop_mm = rng.normal(3, 9) + rng.normal(0, 6, 2)
    arm_angles, forearm_angles, hand_lift_mm = _draw_arms(rng, girth)
    legs_apart = rng.uniform(0.02, 0.09) if rng.random() < 0.12 else 0.0
    # Most look up, some to the side.
    head_turn = rng.normal(0, 0.45 if rng.random() < 0.15 else 0.1)
    return Posture(
        stretch=stretch,
        breadth=breadth,
        head_breadth=head_breadth,
        chest_breadth=np.clip(rng.normal(0.918, 0.035), 0.82, 1.02),
        chest_depth=grown * np.clip(rng.normal(1, 0.07), 0.83, 1.2),
        girth=girth,
        scapula_stretch=np.clip(rng.normal(0.84, 0.17), 0.45, 1.3),
        scapula_turns=np.clip(
            rng.normal(-0.08, 0.1) + rng.normal(0, 0.05, 2), -0.35, 0.2
        ),
        shoulder_drop_mm=shoulder_drop_mm,
        arm_angles=arm_angles,
        forearm_angles=forearm_angles,
        leg_angles=legs_apart
        + np.clip(rng.normal(-0.028, 0.022) + rng.normal(0, 0.01, 2), -0.05, 0.08),
        head_angle=np.clip(rng.normal(0, 0.045), -0.14, 0.14),
        head_turn=np.clip(head_turn, -1.1, 1.1),
        hand_lift_mm=hand_lift_mm,
        trunk_turn=np.clip(rng.normal(0, 0.055), -0.14, 0.14),
        pitch=np.clip(rng.normal(0, 0.06), -0.15, 0.15),
        rib_slopes=np.clip(
            rng.normal(0.02, 0.08) + rng.normal(0, 0.03, 2), -0.16, 0.26
        ),
        curve_mm=_draw_curve(rng),
        tilt=np.radians(np.clip(rng.normal(0, 1.4), -4, 4)),
        top_px=rng.uniform(37, max(lowest * spacing_mm, 46)) / spacing_mm,
        centre_px=frame_hw[1] / 2 + np.clip(rng.normal(0, 10), -28, 28) / spacing_mm,
    )


def lie_down_again(
    rng: np.random.Generator,
    posture: Posture,
    frame_hw: tuple[int, int],
    spacing_mm: float,
) -> Posture:
    """Draws how the same patient lies another time, within the frame.

    Arms, legs, head, shoulders and trunk lie a little otherwise, the body is turned by
    a degree and lies some millimetres away; who would not be scanned so lies down once
    more. Bones and soft parts keep their size.
    """
    tilt = np.radians(rng.normal(0, 0.8))
    down_mm, aside_mm = rng.normal(0, (12, 6))
    length_mm = np.diff(STATIONS_MM) @ posture.stretch
    last_mm = max(37.0, frame_hw[0] * spacing_mm - length_mm - 20)
    again = replace(
        posture,
        scapula_turns=posture.scapula_turns + rng.normal(0, 0.03, 2),
        shoulder_drop_mm=posture.shoulder_drop_mm + rng.normal(0, 3, 2),
        arm_angles=posture.arm_angles + rng.normal(0, 0.03, 2),
        forearm_angles=posture.forearm_angles + rng.normal(0, 0.03, 2),
        leg_angles=posture.leg_angles + rng.normal(0, 0.012, 2),
        head_angle=posture.head_angle + rng.normal(0, 0.03),
        head_turn=posture.head_turn + rng.normal(0, 0.1),
        trunk_turn=posture.trunk_turn + rng.normal(0, 0.03),
        pitch=posture.pitch + rng.normal(0, 0.02),
        tilt=posture.tilt + tilt,
        top_px=np.clip(posture.top_px * spacing_mm + down_mm, 37, last_mm) / spacing_mm,
        centre_px=posture.centre_px + aside_mm / spacing_mm,
    )
    if posture.lies_straight and not again.lies_straight:
        return lie_down_again(rng, posture, frame_hw, spacing_mm)
    return again


def _draw_girth(rng: np.random.Generator) -> float:
    """Draws the thickness of the soft parts; one in twelve is very heavy.

    Both half axes grow by it, the weight by its square: 1.25 is a body mass index of
    some 38, and 1.45 of more than 50.
    """
    if rng.random() < 0.08:
        return float(rng.uniform(1.25, 1.45))
    return float(np.clip(rng.lognormal(0.02, 0.10), 0.85, 1.30))


def _draw_stretch(rng: np.random.Generator) -> np.ndarray:
    """Draws how long the parts of the body are in that of the reference, (7,).

    In some the ribs end just above the pelvis, in others a hand's breadth further up.
    """
    stretch = np.clip(rng.normal([1, 1, 1, 1, 1.0, 0.98, 1], 0.04), 0.9, 1.1)
    chest = np.clip(rng.normal(1.06, 0.06), 0.92, 1.22)
    flank = np.clip(rng.normal(0.92, 0.22) - (chest - 1.06), 0.45, 1.4)
    stretch[1:3] = chest, flank
    return stretch


def _draw_curve(rng: np.random.Generator) -> np.ndarray:
    """Draws a straight spine, or one with a curvature: C- or S-shaped, mm, (2,)."""
    if rng.random() < 0.12:
        return np.clip(rng.normal(0, [14, 9]), -32, 32)
    return np.clip(rng.normal(0, [4, 2]), -12, 12)


def _draw_arms(
    rng: np.random.Generator, girth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws angles of arms and forearms, and the lift of the hands in mm, (2,) each.

    A wider trunk pushes the arms beside it out; two in five hug it, skin on
    skin, and some lie so far out that the frame cuts them or have a hand on the lap.
    """
    push = 0.45 * max(girth - 1, 0) + 0.015
    cut = rng.random() < 0.2
    arms = push + np.abs(rng.normal(0, 0.045, 2)) + 0.06 * cut
    if rng.random() < 0.4:
        arms = push - rng.uniform(0.01, 0.07, 2)
    forearms = rng.normal(-0.02, 0.055, 2)
    lap = (rng.random(2) < 0.5) & (rng.random() < 0.06)
    forearms = np.where(lap, -rng.uniform(0.35, 0.6, 2) - push, forearms)
    return arms, forearms, np.where(lap, 150.0 * girth, 0.0)
