"""Facts of the phantom's trunk: how ribs hang, and what of it is lung."""

import numpy as np
import pytest

from spectjax.phantom.pools import Pool, draw_pools, fill_pools
from spectjax.phantom.posture import Posture
from spectjax.phantom.skeleton import SEGMENTS, build_skeleton
from spectjax.phantom.subject import draw_person, draw_subject

TRUNK = SEGMENTS.index("trunk")
LUNGS = [(-68, 400), (68, 400)]  # reference position, mm
SPACING_MM = 2.0


def lie_straight(**changes):
    """The reference patient; the vertex in row 50, the hips in column 128."""
    fields = dict.fromkeys(Posture.__dataclass_fields__, 0.0)
    for name in ("breadth", "head_breadth", "chest_breadth", "chest_depth"):
        fields[name] = 1.0
    for name in ("scapula_turns", "shoulder_drop_mm", "arm_angles", "forearm_angles"):
        fields[name] = np.zeros(2)
    for name in ("leg_angles", "hand_lift_mm", "rib_slopes", "curve_mm"):
        fields[name] = np.zeros(2)
    fields |= {"girth": 1.0, "scapula_stretch": 1.0, "stretch": np.ones(7)}
    fields |= {"top_px": 50.0, "centre_px": 128.0}
    return Posture(**(fields | changes))


def place(posture, *xy_mm):
    points = np.array([(x, y, 0.0) for x, y in xy_mm])
    return posture.place(points, np.full(len(points), TRUNK))


def measure_rib(number, side, posture):
    """How far the back of a rib hangs, degrees below the horizontal, as it is seen."""
    skeleton = build_skeleton()
    bone = skeleton.names.index(f"{side} rib {number}")
    xyz = skeleton.xyz_mm[skeleton.ends[bone] : skeleton.ends[bone + 1]]
    beside = np.abs(xyz[:, 0]) / np.abs(xyz[:, 0]).max()
    back = xyz[(xyz[:, 2] > 0) & (beside > 0.35) & (beside < 0.85)]
    placed = posture.place(back, np.full(len(back), TRUNK))
    slope, _ = np.polyfit(np.abs(placed[:, 0]), placed[:, 1], 1)
    return np.degrees(np.arctan(slope))


def test_the_backs_of_lower_ribs_hang_more():
    angles = [measure_rib(number, "left", lie_straight()) for number in range(3, 11)]
    # To the spine, 65 degrees of the third and 57 of the tenth.
    assert np.round(angles[0]) == 25 and np.round(angles[-1]) == 33
    steps = np.diff(angles)
    assert (steps > 0).all() and steps.max() < 3  # neighbours are nearly parallel


def test_ribs_hang_by_the_slope_of_their_side():
    posture = lie_straight(rib_slopes=np.array([0.2, -0.1]))
    sides = place(posture, (-100, 400), (100, 400), (-50, 400), (0, 400))
    moved = sides[:, 1] - 400
    np.testing.assert_allclose(moved, [20, -10, 10, 0], atol=1e-9)
    # Neither shoulders nor hips hang with them.
    ends = place(posture, (-100, 240), (-100, 580), (-100, 640))
    np.testing.assert_allclose(ends[:, 1], [240, 580, 640], atol=1e-9)
    turned = measure_rib(7, "right", posture) - measure_rib(7, "left", posture)
    assert 10 < turned < 15


def test_people_differ_more_than_their_sides_in_how_ribs_hang():
    people = [draw_person(np.random.SeedSequence([3, n])) for n in range(150)]
    slopes = np.array([person.posture.rib_slopes for person in people])
    assert 0.06 < slopes.std() < 0.10
    assert np.abs(slopes[:, 1] - slopes[:, 0]).mean() < 0.6 * slopes.std()


def test_a_pool_changes_the_uptake_where_it_lies():
    tracer = np.full((400, 256), 2.0, np.float32)
    fill_pools(tracer, [Pool((40, 300), (30, 20), 0.5)], lie_straight(), SPACING_MM)
    # Its centre lies between pixels: row 50 + 300 / 2, column 128 + 40 / 2.
    middle = tracer[199:201, 147:149].mean()
    assert middle == pytest.approx(2 * 0.5, abs=0.01)
    # Where it ends by its radii, 0.6 of the excess are left: 15 columns, 10 rows on.
    beside, below = tracer[199:201, 162:164].mean(), tracer[209:211, 147:149].mean()
    assert [beside, below] == pytest.approx([2 - 0.607] * 2, abs=0.01)
    assert tracer[300, 148] == tracer[200, 10] == 2


def test_lungs_take_up_less_than_other_soft_tissue():
    draws = [
        draw_pools(np.random.default_rng(n), "FM"[n % 2], 3.0, pertechnetate=False)
        for n in range(200)
    ]
    gains = [[p.gain for p in pools if p.centre_mm in LUNGS] for pools in draws]
    assert all(right == left < 1 for right, left in gains)
    assert np.median(gains) == pytest.approx(0.62, abs=0.03)
    assert {len(pools) for pools in draws[1::2]} == {7}  # breasts are women's
    assert {len(pools) for pools in draws[0::2]} == {9}


def test_a_pixel_of_lung_has_fewer_counts_than_one_of_the_flank():
    """Soft tissue alone, through the depth of the body, of the right side."""
    ratios = []
    for n in range(6):
        subject = draw_subject(np.random.SeedSequence([8, n]), views=["anterior"])
        body, posture = subject.body, subject.person.posture
        depth = body.back_mm - body.front_mm
        counts = {}
        for name, xy_mm in {"lung": (-68, 400), "flank": (-90, 610)}.items():
            row, column = posture.to_pixels(
                place(posture, xy_mm), subject.person.spacing_mm
            )
            window = np.s_[
                int(row[0]) - 3 : int(row[0]) + 4,
                int(column[0]) - 3 : int(column[0]) + 4,
            ]
            counts[name] = (depth * body.tracer)[window].mean()
        ratios.append(counts["lung"] / counts["flank"])
    # Without lungs 1.5: the chest is deeper than the flank.
    assert 0.5 < np.median(ratios) < 0.95
