"""Tracer outside of bone: urine, thyroid, bowel, and where the tracer was injected."""

from collections.abc import Iterator

import numpy as np

from spectjax.phantom.body import build_organs
from spectjax.phantom.lesions import Spot
from spectjax.phantom.shapes import Cloud, make_ellipsoid, make_tube
from spectjax.phantom.skeleton import SEGMENTS, Segment
from spectjax.phantom.tracer import clear_urine

# Elbow, wrist, back of the hand.
_VEINS_MM = [(196, 560, 20), (208, 796, 28), (208, 850, 30)]


def draw_organs(
    rng: np.random.Generator, hours: float, pertechnetate: bool
) -> list[Spot]:
    """Draws what the tracer does outside bone.

    Urine thins out in the hours from the injection to the scan. Free pertechnetate
    goes to the thyroid and on into the bowel.
    """
    organs = dict(build_organs())
    kidneys = rng.lognormal(np.log(0.17), 0.6) * clear_urine(hours)
    urine = rng.lognormal(np.log(1.2), 0.65) * clear_urine(hours)
    catheter = rng.random() < 0.1
    levels = {
        "left kidney": kidneys * rng.lognormal(0, 0.2),
        "right kidney": kidneys * rng.lognormal(0, 0.2),
        "bladder": urine * (0.3 if catheter else 1.0),
        "urethra": rng.choice([0.0, rng.uniform(0.1, 0.5)], p=[0.6, 0.4]),
        "thyroid": rng.lognormal(np.log(2.5 if pertechnetate else 0.6), 0.6),
        "larynx": rng.lognormal(np.log(0.8), 0.45),
        "bowel": rng.choice([0.0, rng.uniform(0.03, 0.15)], p=[0.7, 0.3]),
    }
    if rng.random() < 0.02:
        del levels[f"{rng.choice(['left', 'right'])} kidney"]
    for name in ("left kidney", "right kidney"):
        xyz, volume = organs[name]
        organs[name] = xyz + rng.normal(0, [7, 10, 3]), volume
    spots = [
        _place(name, organs[name], "trunk", level)
        for name, level in levels.items()
        if level > 0
    ]
    for name in ("left kidney", "right kidney"):
        if name in levels:
            spots += _draw_calyces(rng, name, organs[name], levels[name])
    sign = int(rng.choice([-1, 1]))
    spots += _draw_injection(rng, sign)
    if rng.random() < 0.04:
        spots.append(_contaminate(rng, urine))
    if rng.random() < 0.06:
        spots += _draw_specks(rng)
    if catheter:
        x, y = (sign * 170, 1060) if rng.random() < 0.6 else (sign * 40, 1790)
        tube = make_tube(
            [(0, 800, -60), (sign * 70, 880, -70), (x, y - 120, 10), (x, y, 40)], 3
        )
        bag = make_ellipsoid((x, y, 40), (38, 70 if y < 1500 else 30, 12))
        spots.append(_place("catheter", tube, "trunk", rng.uniform(0.3, 1.5)))
        spots.append(_place("urine bag", bag, "trunk", rng.uniform(0.3, 2.0)))
    return spots


def _draw_calyces(
    rng: np.random.Generator, name: str, kidney: Cloud, level: float
) -> list[Spot]:
    """Draws urine that stands in calyces and pelvis of a kidney, and in the ureter."""
    spots = []
    middle = kidney[0].mean(axis=0)
    count = rng.choice(4, p=[0.4, 0.3, 0.18, 0.12])
    for _ in range(count):
        x, y, z = middle + rng.normal(0, [7, 18, 4])
        radius = rng.uniform(4, 11)
        drop = make_ellipsoid((x, y, z), (radius, radius * rng.uniform(1, 2), radius))
        # Of the urine, however faint the kidney itself is.
        heat = np.sqrt(level * 0.17) * rng.lognormal(np.log(2.2), 0.85)
        spots.append(_place(f"urine in {name}", drop, "trunk", heat))
    if rng.random() < 0.1:
        x, y, z = middle * [0.55, 1, 0.8] + [0, rng.uniform(40, 110), 0]
        bead = make_ellipsoid((x, y, z), (3, rng.uniform(4, 18), 3))
        heat = level * rng.lognormal(np.log(5), 0.7)
        spots.append(_place(f"urine below {name}", bead, "trunk", heat))
    return spots


def _draw_injection(rng: np.random.Generator, sign: int) -> list[Spot]:
    """Draws what stays at the injected vein; 1 for the left arm, -1 for the right."""
    fate = rng.random()
    if fate >= 0.4:
        return []
    x, y, z = _VEINS_MM[rng.integers(len(_VEINS_MM))]
    segment: Segment = "arm" if y < 566 else "forearm"
    place = (sign * x, y + rng.normal(0, 8), z)
    if fate >= 0.05:
        drop = make_ellipsoid(place, (rng.uniform(4, 7), rng.uniform(5, 12), 4))
        return [_place("injection", drop, segment, rng.lognormal(np.log(6), 0.8))]
    # Tracer beside the vein: a large spot, and often a lymph node on its way.
    radius = rng.uniform(12, 24)
    pool = make_ellipsoid(place, (radius, radius * rng.uniform(1, 1.8), 9))
    spots = [_place("infiltration", pool, segment, rng.lognormal(np.log(4), 0.6))]
    if rng.random() < 0.5:
        node = make_ellipsoid((sign * 148, rng.uniform(318, 345), 10), (6, 8, 6))
        spots.append(_place("lymph node", node, "trunk", rng.lognormal(np.log(3), 0.5)))
    return spots


def _contaminate(rng: np.random.Generator, urine: float) -> Spot:
    """Draws urine on the skin or the sheet: thighs, groin, rarely further up."""
    x, y = rng.uniform(-130, 130), rng.uniform(830, 1050)
    if rng.random() < 0.2:
        y = rng.uniform(420, 700)
    stain = make_ellipsoid((x, y, -100), (rng.uniform(4, 16), rng.uniform(4, 16), 2))
    return _place("contamination", stain, "trunk", urine * rng.uniform(0.5, 3))


def _draw_specks(rng: np.random.Generator) -> Iterator[Spot]:
    """Yields drops on clothes or collimator, a pixel or two wide, anywhere."""
    for _ in range(rng.integers(1, 4)):
        centre = (rng.uniform(-150, 150), rng.uniform(200, 1000), -105.0)
        drop = make_ellipsoid(centre, (2, 2, 1))
        yield _place("speck", drop, "trunk", rng.lognormal(np.log(4), 0.8))


def _place(name: str, cloud: Cloud, segment: Segment, level: float) -> Spot:
    xyz, volume = cloud
    moves = np.full(len(volume), SEGMENTS.index(segment))
    return Spot(name, name, xyz, moves, volume * level, np.ones(len(volume), bool))
