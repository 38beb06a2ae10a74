"""Tests of the phantom's bodies against figures measured on real whole-body scans.

Unless said otherwise from five views of three patients: both sides of two, and one
from the front. Lengths are shares of the body's, from the vertex to the toes.
"""

import numpy as np
import pytest

from spectjax.imaging.thorax.body import find_body
from spectjax.phantom import simulate_patient
from spectjax.phantom.skeleton import SEGMENTS, build_skeleton, find_growth_plates
from spectjax.phantom.subject import draw_person, draw_subject


def choose(kind):
    """Indices of some points of the left and right bones of a kind."""
    skeleton = build_skeleton()
    chosen = [number for number, name in enumerate(skeleton.names) if kind in name]
    return np.flatnonzero(np.isin(skeleton.bone, chosen))[::3]


RIBS, HUMERI = choose(" rib "), choose("humerus")


class Bones:
    """Rows and columns of ribs and upper arms of a person, and the body's length."""

    def __init__(self, person):
        """Places the bones of a person on the frame."""
        skeleton = build_skeleton()
        posture, spacing_mm = person.posture, person.spacing_mm

        def place(xyz_mm, segment):
            return posture.to_pixels(posture.place(xyz_mm, segment), spacing_mm)

        ends = np.array([[0.0, -9.0, 5.0], [80.0, 1738.0, -28.0]])
        segments = np.array([SEGMENTS.index("head"), SEGMENTS.index("shank")])
        (self.head, feet), _ = place(ends, segments)
        self.length = feet - self.head
        self.ribs, self.humeri = (
            place(skeleton.xyz_mm[points], skeleton.segment[points])
            for points in (RIBS, HUMERI)
        )
        self.width = np.ptp(self.ribs[1])

    def find_row(self, share):
        """Row at a share of the body's length below the vertex."""
        return round(float(self.head + share * self.length))

    def measure_arms(self):
        """Distance of the upper arms from the ribs beside them, right and left."""
        distances = []
        for sign in (-1, 1):
            ribs, arm = (
                sign * points[1][
                    (np.abs(points[0] - self.find_row(0.27)) < 0.02 * self.length)
                    & (sign * build_skeleton().xyz_mm[chosen, 0] > 0)
                ]
                for points, chosen in ((self.ribs, RIBS), (self.humeri, HUMERI))
            )  # fmt: skip
            distances.append((arm.mean() - ribs.max()) / self.length)
        return distances


@pytest.fixture(scope="module")
def people():
    return [draw_person(np.random.SeedSequence([3, seed])) for seed in range(400)]


@pytest.fixture(scope="module")
def adults(people):
    grown = [person for person in people if person.age >= 18][:200]
    return grown, [Bones(person) for person in grown]


@pytest.fixture(scope="module")
def outlines(adults):
    """Where the bodies of the first 40 adults are, bool, (H, W) each."""
    planes = [
        person.posture.draw_outline(person.frame_hw, person.spacing_mm)
        for person in adults[0][:40]
    ]
    return [back > front for front, back in planes]


def test_rib_cages_are_as_slim_as_in_19_real_adults(adults):
    widths = np.array([bones.width / bones.length for bones in adults[1]])
    # Real views from the front: 0.147 to 0.189, median 0.161.
    assert np.median(widths) == pytest.approx(0.161, abs=0.004)
    assert np.quantile(widths, 0.01) < 0.147 < np.quantile(widths, 0.1)
    assert np.quantile(widths, 0.9) < 0.189 < widths.max() + 0.004


def test_ribs_end_as_far_down_as_in_real_bodies(adults):
    lowest = [(b.ribs[0].max() - b.head) / b.length for b in adults[1]]
    # Two patients from both sides: 0.344 and 0.344, 0.365 and 0.369.
    assert np.quantile(lowest, 0.05) < 0.344 < np.quantile(lowest, 0.6)
    assert np.quantile(lowest, 0.8) < 0.367 < max(lowest)


def test_ribs_lie_within_the_width_of_the_legs_as_real_ones_do(adults, outlines):
    shares = []
    for person, bones, body in zip(*adults, outlines, strict=False):
        hip = round(float(person.posture.centre_px))
        gap = round(0.02 * bones.length)  # of half the width: the legs may be apart
        widths = [
            2 * gap
            + np.append(line[hip + gap :], False).argmin()
            + np.append(line[hip - gap :: -1], False).argmin()
            for line in body[bones.find_row(0.555) : bones.find_row(0.605)]
        ]
        shares.append(bones.width / np.median(widths))
    # 38 real views: 0.73 to 0.98 where the ribs are widest.
    assert 0.80 < np.median(shares) < 0.91
    assert np.quantile(shares, 0.05) < 0.79 and np.quantile(shares, 0.95) > 0.95
    assert np.mean([0.68 < share < 1.03 for share in shares]) > 0.9


def test_rib_cages_taper_upwards_as_real_ones_do(adults):
    tapers = []
    for bones in adults[1]:
        rows, columns = bones.ribs
        widths = [
            np.ptp(columns[np.abs(rows - bones.find_row(share)) < 0.007 * bones.length])
            for share in (0.245, 0.255, 0.28, 0.30, 0.31, 0.315)
        ]
        tapers.append(widths[0] / max(widths))
    # Real ones, a quarter of the trunk below the shoulders over the widest above the
    # middle of the trunk: 0.876 to 0.896.
    assert np.quantile(tapers, 0.1) < 0.876 and np.quantile(tapers, 0.9) > 0.896
    assert 0.865 < np.median(tapers) < 0.90


def test_upper_arms_are_as_near_to_the_ribs_as_in_real_bodies(adults):
    distances = np.array([bones.measure_arms() for bones in adults[1]])
    # Real ones: 0.035 to 0.046 in the median of the chest.
    assert np.quantile(distances, 0.1) < 0.032
    assert 0.032 < np.median(distances) < 0.046
    assert np.quantile(distances, 0.95) > 0.046


def test_some_arms_touch_the_trunk_and_most_do_not(adults, outlines):
    """One of the three patients had no gap down to the elbow."""
    touching = []
    for bones, body in zip(adults[1], outlines, strict=False):
        chest = body[bones.find_row(0.25) : bones.find_row(0.30)]
        middle = round(float(np.mean(bones.ribs[1])))
        # A body that begins again further out is an arm.
        touching += [
            not (np.diff(side.astype(int), axis=1) > 0).any()
            for side in (chest[:, middle:], chest[:, middle::-1])
        ]
    assert 0.15 < np.mean(touching) < 0.5


def test_one_in_thirty_is_a_child_with_a_larger_head_for_its_size(people, adults):
    children = [person for person in people if person.age < 18]
    assert 0.01 < len(children) / len(people) < 0.06
    young = [person.posture for person in children if person.age <= 11]
    grown = [person.posture for person in adults[0]]
    assert np.median([p.height_mm for p in young]) < 1450
    for part, ratio in (("breadth", 0.9), ("chest_depth", 0.9)):
        small, large = ([getattr(p, part) for p in group] for group in (young, grown))
        assert np.median(small) < ratio * np.median(large)
    small, large = ([p.head_breadth / p.breadth for p in g] for g in (young, grown))
    assert np.median(small) > 1.1 * np.median(large)


def test_growth_plates_are_hot_in_children_only(people):
    plates = find_growth_plates()
    shin = build_skeleton().bone == build_skeleton().names.index("left tibia")
    normal = build_skeleton().weight
    for young in (True, False):
        seed = next(
            number for number, person in enumerate(people) if (person.age < 12) == young
        )
        subject = draw_subject(np.random.SeedSequence([3, seed]), ())
        uptake = subject.bones.weight / normal
        ratio = uptake[shin & plates].mean() / uptake[shin & ~plates].mean()
        assert (3 < ratio < 8) if young else ratio == pytest.approx(1, abs=1e-6)
        # A dose by weight.
        assert (subject.exam.activity_mbq < 370) == (subject.weight_kg < 45)


def test_some_are_very_heavy_and_their_ribs_lie_deep(adults, outlines):
    girths = np.array([person.posture.girth for person in adults[0]])
    assert 0.03 < (girths > 1.25).mean() < 0.2
    assert 1.35 < girths.max() <= 1.45


def test_some_spines_are_bent_and_people_are_scanned_so(people):
    bent = [p for p in people if np.abs(p.posture.curve_mm).sum() > 18]
    assert 0.02 < len(bent) / len(people) < 0.15
    assert any(person.posture.lies_straight for person in bent)


# Width of the body at distances from the vertex in percent of its length: smallest and
# largest of the five views, each with arms.
REAL_WIDTHS = {
    (0, 3): (0.071, 0.079),
    (3, 9): (0.101, 0.113),
    (11, 13): (0.084, 0.125),
    (15, 18): (0.229, 0.258),
    (18, 22): (0.247, 0.289),
    (22, 27): (0.255, 0.300),
    (27, 32): (0.269, 0.304),
    (32, 38): (0.269, 0.305),
    (38, 44): (0.231, 0.304),
    (44, 50): (0.259, 0.296),
    (54, 60): (0.175, 0.236),
    (60, 66): (0.126, 0.143),
    (66, 72): (0.108, 0.143),
    (74, 80): (0.108, 0.138),
    (82, 88): (0.081, 0.101),
    (92, 97): (0.083, 0.113),
}


def test_bodies_are_as_wide_as_real_ones_from_head_to_feet():
    widths = {section: [] for section in REAL_WIDTHS}
    for seed in range(10):
        patient = simulate_patient(seed, diagnosis="normal")
        counts = patient.views["anterior"].counts.astype(np.float32)
        body = find_body(counts, patient.spacing_mm)
        lines = body.mask[body.first_row : body.last_row].sum(axis=1) / body.length
        for low, high in widths:
            part = slice(low * body.length // 100, high * body.length // 100)
            widths[low, high].append(np.median(lines[part]))
    for section, (least, most) in REAL_WIDTHS.items():
        assert 0.96 * least < np.median(widths[section]) < 1.04 * most, section
        # Nor are all alike: the real ones differ by about a fifth.
        assert max(widths[section]) / min(widths[section]) > 1.1, section
