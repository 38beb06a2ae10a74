"""Tests of simulated patients: shapes, anatomy, lesions, noise and readers."""

import numpy as np
import pytest

from spectjax.imaging.phantom import simulate_patient
from spectjax.imaging.phantom.readers import measure_visibility, read_view
from spectjax.imaging.phantom.shapes import make_ellipsoid, make_plate, make_tube
from spectjax.imaging.phantom.skeleton import build_skeleton


@pytest.fixture(scope="module")
def patients():
    return [simulate_patient(seed) for seed in range(3)]


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
        assert view.counts[-100:].mean() < 0.13  # below the feet


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
    patient = simulate_patient(5, metastases=0)
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


def fill(polygon, hw):
    """Pixels whose centres lie in a polygon of (x, y), by the even-odd rule."""
    y, x = np.indices(hw) + 0.5
    inside = np.zeros(hw, bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


def test_read_view_draws_around_hot_spots(views):
    for seed, view in enumerate(views):
        for polygons in read_view(np.random.default_rng(seed), view):
            for polygon in polygons:
                assert ((polygon >= 0) & (polygon <= [256, 1024])).all()
                x, y = np.maximum(np.floor(polygon.min(axis=0)).astype(int) - 4, 0)
                x_end, y_end = np.ceil(polygon.max(axis=0)).astype(int) + 4
                part = view.expectation[y:y_end, x:x_end]
                mask = fill(polygon - [x, y], part.shape)
                assert part[mask].mean() > part[~mask].mean()


def test_read_view_draws_what_stands_out_and_leaves_what_does_not(views):
    drawn = {"clear": [], "faint": []}
    for seed, view in enumerate(views):
        readings = read_view(np.random.default_rng(seed), view)
        corners = [[polygon.mean(axis=0) for polygon in r] for r in readings]
        for spot in view.spots:
            if spot.kind != "metastasis":
                continue
            seen = measure_visibility(spot, view)
            y, x = np.unravel_index(spot.counts.argmax(), spot.counts.shape)
            peak = np.array([spot.corner[1] + x, spot.corner[0] + y])
            hits = [
                any(np.linalg.norm(c - peak) < 12 for c in centres)
                for centres in corners
            ]
            if seen.contrast > 1 and seen.signal_to_noise > 15:
                drawn["clear"] += hits
            elif seen.contrast < 0.1:
                drawn["faint"] += hits
    assert len(drawn["clear"]) >= 9
    assert np.mean(drawn["clear"]) > 0.9
    assert np.mean(drawn["faint"]) < 0.5


def test_readers_disagree(views):
    readings = [read_view(np.random.default_rng(3), view) for view in views]
    assert any(len({len(polygons) for polygons in reading}) > 1 for reading in readings)
    first, second, _ = readings[0]
    assert not np.array_equal(first[0], second[0])
