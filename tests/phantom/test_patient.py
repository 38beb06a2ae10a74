"""Tests of simulated patients: shapes, anatomy, lesions, noise and readers."""

import numpy as np
import pytest

from spectjax.phantom import simulate_patient
from spectjax.phantom.readers import read_view
from spectjax.phantom.shapes import make_ellipsoid, make_plate, make_tube
from spectjax.phantom.skeleton import build_skeleton


@pytest.fixture(scope="module")
def patients():
    return [simulate_patient(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def healthy():
    return [simulate_patient(seed, diagnosis="normal") for seed in range(6)]


@pytest.fixture(scope="module")
def views(patients):
    return [view for patient in patients for view in patient.views.values()]


def test_make_tube_has_the_volume_of_a_cylinder():
    xyz, volume = make_tube([(0, 0, 0), (0, 100, 0)], 10, 5)
    assert volume.sum() == pytest.approx(np.pi * 10 * 5 * 100, rel=1e-6)
    assert np.abs(xyz[:, 0]).max() == pytest.approx(10, abs=0.5)
    assert np.abs(xyz[:, 2]).max() == pytest.approx(5, abs=0.5)


def test_make_ellipsoid_leaves_its_core_empty():
    xyz, volume = make_ellipsoid((5, 0, 0), (20, 30, 40), hollow=0.5)
    radius = np.linalg.norm((xyz - [5, 0, 0]) / [20, 30, 40], axis=1)
    assert radius.min() >= 0.5
    assert volume.sum() == pytest.approx(4 / 3 * np.pi * 24000 * 7 / 8, rel=1e-6)
    np.testing.assert_allclose(xyz.mean(axis=0), [5, 0, 0], atol=0.5)


def test_make_plate_has_the_area_of_its_outline():
    corners = [(0.0, 0.0, 0.0), (40.0, 0.0, 0.0), (40.0, 30.0, 0.0), (0.0, 30.0, 0.0)]
    xyz, volume = make_plate(corners, 2.0)
    assert volume.sum() == pytest.approx(40 * 30 * 2)
    np.testing.assert_allclose(xyz.mean(axis=0), [20, 15, 0], atol=0.5)


def test_build_skeleton_has_24_ribs_and_24_vertebrae_and_two_sides():
    skeleton = build_skeleton()
    assert sum(" rib " in name for name in skeleton.names) == 24
    assert sum(name[0] in "CTL" and name[1:].isdigit() for name in skeleton.names) == 24
    left = {name[5:] for name in skeleton.names if name.startswith("left ")}
    right = {name[6:] for name in skeleton.names if name.startswith("right ")}
    assert left == right
    for number, name in enumerate(skeleton.names):
        x = skeleton.xyz_mm[skeleton.bone == number, 0].mean()
        expected = name.startswith("left") - name.startswith("right")
        assert np.sign(np.round(x)) == expected, name


def test_simulate_patient_is_a_function_of_its_seed(patients):
    again = simulate_patient(1).views["posterior"]
    np.testing.assert_array_equal(again.counts, patients[1].views["posterior"].counts)
    assert (again.counts != patients[2].views["posterior"].counts).any()


def test_simulate_patient_counts_as_real_scans_do(views):
    for view in views:
        assert view.counts.dtype == np.uint16
        assert view.counts.shape == (1024, 256)
        assert 0.3e6 < view.counts.sum() < 4e6
        assert view.counts[-60:].mean() < 0.13  # below the feet
    assert 0.36e6 < np.median([view.counts.sum() for view in views]) < 1e6


# Shares of a view's counts by the distance from the vertex in percent of the body, from
# five real whole-body scans (four from behind): smallest and largest of each percent,
# summed over the section.
REAL_SHARES = {
    "anterior": {
        (0, 11): (0.0735, 0.1369),
        (15, 26): (0.1965, 0.2545),
        (26, 36): (0.1197, 0.1646),
        (36, 49): (0.1784, 0.3485),
        (49, 66): (0.0824, 0.1339),
        (66, 88): (0.0632, 0.1234),
    },
    "posterior": {
        (0, 11): (0.0779, 0.1181),
        (15, 26): (0.1996, 0.2300),
        (26, 36): (0.1733, 0.2067),
        (36, 49): (0.1917, 0.3050),
        (49, 66): (0.0785, 0.1169),
        (66, 88): (0.0613, 0.1009),
    },
}


@pytest.mark.parametrize("side", REAL_SHARES)
def test_simulate_patient_spreads_counts_along_the_body_as_real_scans_do(healthy, side):
    shares = {section: [] for section in REAL_SHARES[side]}
    for patient in healthy:
        view = patient.views[side]
        rows = np.nonzero(view.bone_masks.any(axis=(0, 2)))[0]
        top, length = rows[0], rows[-1] + 1 - rows[0]
        along = view.counts.sum(axis=1) / view.counts.sum()
        for low, high in shares:
            part = slice(top + low * length // 100, top + high * length // 100)
            shares[low, high].append(along[part].sum())
    for section, (least, most) in REAL_SHARES[side].items():
        assert least <= np.median(shares[section]) <= most, section


def test_kidneys_behind_the_spine_are_brighter_from_behind(patients):
    for patient in patients:
        for kidney in ("left kidney", "right kidney"):
            front, behind = (
                sum(
                    s.counts.sum()
                    for s in patient.views[view].spots
                    if s.kind == kidney
                )
                for view in ("anterior", "posterior")
            )
            assert behind > 1.5 * front > 0


def test_simulate_patient_has_poisson_noise(views):
    for view in views:
        # Flat in expectation: every pixel is compared with its own mean.
        body = view.expectation > 2
        residual = (view.counts[body] - view.expectation[body]) / np.sqrt(
            view.expectation[body]
        )
        assert residual.mean() == pytest.approx(0, abs=0.02)
        assert residual.var() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("bone", ["humerus", "rib 5", "hip bone", "foot"])
def test_simulate_patient_shows_the_left_on_the_right_in_front(patients, bone):
    for patient in patients:
        for view, sign in (("anterior", 1), ("posterior", -1)):
            seen = patient.views[view]
            left, right = (
                np.nonzero(seen.bone_masks[seen.bone_names.index(f"{side} {bone}")])[1]
                for side in ("left", "right")
            )
            assert sign * (left.mean() - right.mean()) > 5


def test_simulate_patient_keeps_every_lesion_within_a_bone(views):
    for view in views:
        assert 1 <= len(view.lesion_masks) == len(view.lesion_sites) <= 12
        skeleton = view.bone_masks.any(axis=0)
        for mask, site in zip(view.lesion_masks, view.lesion_sites, strict=True):
            assert not (mask & ~skeleton).any()
            assert (mask & view.bone_masks[view.bone_names.index(site)]).any()


def test_simulate_patient_without_metastases_has_none():
    patient = simulate_patient(5, diagnosis="normal")
    for view in patient.views.values():
        assert view.lesion_masks.shape == (0, 1024, 256)
        assert view.lesion_sites == ()


def test_thorax_box_is_the_tightest_one_around_ribs_and_shoulders(views):
    for view in views:
        y0, x0, y1, x1 = view.thorax_box
        masks = dict(zip(view.bone_names, view.bone_masks, strict=True))
        ribs = np.any([mask for name, mask in masks.items() if " rib " in name], axis=0)
        shoulders = np.any(
            [masks[f"{side} {bone}"] for side in ("left", "right")
             for bone in ("scapula", "clavicle", "humerus")], axis=0,
        )  # fmt: skip
        rows, columns = np.nonzero(ribs)
        assert (x0, x1) == (columns.min(), columns.max() + 1)
        assert y1 == rows.max() + 1
        assert y0 == np.nonzero(shoulders)[0].min()


def test_a_metastasis_alone_is_the_difference_that_it_makes(views):
    for view in views:
        for spot in view.spots:
            (top, left), (height, width) = spot.corner, spot.counts.shape
            whole = view.expectation[top : top + height, left : left + width]
            assert (spot.counts <= whole * 1.1 + 0.2).all(), spot.site


def test_a_lesion_mask_lies_where_the_lesion_shines(views):
    for view in views:
        spots = [spot for spot in view.spots if spot.kind == "metastasis"]
        for mask, spot in zip(view.lesion_masks, spots, strict=True):
            row, column = spot.peak
            assert mask[row - 3 : row + 4, column - 3 : column + 4].any(), spot.site


def test_read_view_names_the_site_and_draws_around_it(views):
    for seed, view in enumerate(views):
        for outlines in read_view(np.random.default_rng(seed), view):
            for word, polygon in outlines:
                assert ((polygon >= 0) & (polygon <= [256, 1024])).all()
                nearest = min(
                    view.spots,
                    key=lambda spot: np.hypot(
                        *(np.array(spot.peak)[::-1] + 0.5 - polygon.mean(axis=0))
                    ),
                )
                spine = nearest.site[0] in "CTL" and nearest.site[1:].isdigit()
                if nearest.kind == "metastasis":
                    expected = ("metastasis outside spine", "spinal metastasis")[
                        spine or nearest.site == "sacrum"
                    ]
                    crowded = sum(
                        np.hypot(*np.subtract(s.peak, nearest.peak)) < 25
                        for s in view.spots
                    )
                    assert word == expected or crowded > 1
