"""Tests of `spectjax.phantom.camera`: the physics of a planar image."""

import numpy as np
import pytest

from spectjax.phantom.camera import (
    Body,
    Camera,
    Sources,
    fwhm_mm,
    project,
    project_spot,
)
from spectjax.phantom.detector import count_photons, detect

HW = (160, 96)
CAMERA = Camera(frame_hw=HW, spacing_mm=2.3, field=(0, 0, *HW), gap_mm=0, scatter=0)


def make_body(thickness_mm):
    """A box of water without tracer that fills the frame; the middle is at z = 0."""
    half = np.full(HW, thickness_mm / 2, np.float32)
    nothing = np.zeros(HW, np.float32)
    return Body(-half, half, tracer=nothing, cover_mm=nothing)


def make_point(row, column, z):
    return Sources(*(np.array([value]) for value in (row, column, z, 1.0)))


def measure_line_fwhm_mm(z):
    """FWHM of a line in air, which crosses the pixels at an angle, by half maximum."""
    row = np.arange(0, HW[0], 0.01)
    line = Sources(
        row, 48.3 + (row - 80) / 20, np.full(row.shape, z), np.ones_like(row)
    )
    image = project(line, make_body(0), CAMERA, "anterior")[30:130]
    y, x = np.indices(image.shape) + 0.5
    offset = x - (48.3 + (y + 30 - 80) / 20)
    bins = np.linspace(-12, 12, 241)
    total, _ = np.histogram(offset, bins, weights=image)
    profile = total / np.histogram(offset, bins)[0]
    centre = (bins[:-1] + bins[1:]) / 2
    fine = np.linspace(-12, 12, 24_001)
    above = fine[np.interp(fine, centre, profile) > profile.max() / 2]
    return (above[-1] - above[0]) * CAMERA.spacing_mm


@pytest.mark.parametrize(
    ("distance_mm", "expected"),
    [(0, 4.0), (50, 5.2), (100, 7.0), (150, 9.1), (200, 11.3)],
)
def test_fwhm_matches_the_published_resolution_of_a_lehr_collimator(
    distance_mm, expected
):
    assert fwhm_mm(distance_mm) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("z", [25.0, 85.0, 145.0, 205.0])
def test_project_blurs_a_line_by_the_resolution_at_its_distance(z):
    assert measure_line_fwhm_mm(z) == pytest.approx(float(fwhm_mm(z)), rel=0.05)


@pytest.mark.parametrize("z", [-80.0, -20.0, 5.0, 70.0])
def test_project_attenuates_each_view_by_the_depth_below_its_skin(z):
    body = make_body(200)
    point = make_point(80.2, 40.7, z)
    anterior, posterior = (
        project(point, body, CAMERA, view).sum() for view in ("anterior", "posterior")
    )
    depth = z + 100
    assert anterior / posterior == pytest.approx(
        np.exp(0.012 * (200 - 2 * depth)), rel=0.05
    )
    # The geometric mean of both views does not know the depth.
    assert np.sqrt(anterior * posterior) == pytest.approx(
        np.exp(-0.012 * 100), rel=0.03
    )


def test_project_sums_soft_tissue_as_the_integral_over_depth():
    body = make_body(200)._replace(tracer=np.full(HW, 0.5, np.float32))
    image = project(
        make_point(0, 0, 0)._replace(weight=np.zeros(1)), body, CAMERA, "anterior"
    )
    expected = 0.5 * 2.3**2 * (1 - np.exp(-0.012 * 200)) / 0.012
    np.testing.assert_allclose(image[40:120, 30:60], expected, rtol=1e-3)


def test_project_shows_the_left_on_the_right_in_front_and_on_the_left_behind():
    point = make_point(30.5, 70.5, 0.0)
    anterior, posterior = (
        project(point, make_body(100), CAMERA, view)
        for view in ("anterior", "posterior")
    )
    assert np.unravel_index(anterior.argmax(), HW) == (30, 70)
    assert np.unravel_index(posterior.argmax(), HW) == (30, HW[1] - 1 - 70)


def test_detect_adds_scatter_as_its_share_of_the_counts_and_only_in_the_body():
    camera = Camera(frame_hw=HW, spacing_mm=2.3, field=(0, 0, *HW), scatter=0.4)
    half = np.zeros(HW, np.float32)
    half[:, :50] = 90
    body = make_body(0)._replace(front_mm=-half, back_mm=half)
    primary = project(make_point(80.5, 30.5, 0.0), body, camera, "anterior")
    image = detect(primary, body, camera, "anterior")
    assert primary.sum() / image.sum() == pytest.approx(0.6, rel=0.01)
    assert image[:, 58:].sum() < 1e-3 * image.sum()
    # Scatter is broad: it hardly adds to the pixel that the point is in.
    assert image.max() == pytest.approx(primary.max(), rel=0.05)


def test_detect_scatters_in_the_mirrored_body_of_the_posterior_view():
    half = np.zeros(HW, np.float32)
    half[:, :50] = 90
    body = make_body(0)._replace(front_mm=-half, back_mm=half)
    camera = Camera(frame_hw=HW, spacing_mm=2.3, field=(0, 0, *HW), scatter=0.4)
    primary = project(make_point(80.5, 30.5, 0.0), body, camera, "posterior")
    image = detect(primary, body, camera, "posterior")
    assert image[:, : HW[1] - 58].sum() < 1e-3 * image.sum()


def test_detect_sees_nothing_outside_its_field():
    narrow = Camera(frame_hw=HW, spacing_mm=2.3, field=(20, 32, 150, 90), scatter=0)
    body = make_body(0)
    primary = project(make_point(80.5, 33.0, 0.0), body, narrow, "posterior")
    image = detect(primary, body, narrow, "posterior")
    assert image[:, HW[1] - 32 :].sum() == 0
    assert image.sum() > 0


def test_project_sees_less_through_the_table():
    table = Camera(frame_hw=HW, field=(0, 0, *HW), scatter=0, table=0.9)
    behind, front = (
        project(make_point(80.5, 30.5, 0.0), make_body(0), table, view).sum()
        for view in ("posterior", "anterior")
    )
    assert behind / front == pytest.approx(0.9, rel=1e-3)


def test_project_sees_less_through_a_cover_and_from_the_front_only():
    cover = np.zeros(HW, np.float32)
    cover[60:100, 20:60] = 50
    tissue = np.full(HW, 0.5, np.float32)
    bare = make_body(200)._replace(tracer=tissue)
    covered = bare._replace(cover_mm=cover)
    none = make_point(0, 0, 0)._replace(weight=np.zeros(1))
    front, behind = (
        project(none, covered, CAMERA, view) / project(none, bare, CAMERA, view)
        for view in ("anterior", "posterior")
    )
    np.testing.assert_allclose(front[75:85, 35:45], np.exp(-0.012 * 50), rtol=0.01)
    np.testing.assert_allclose(front[20:40, 70:90], 1, rtol=1e-4)
    np.testing.assert_allclose(behind, 1, rtol=1e-4)
    point = make_point(80.2, 40.7, 20.0)
    ratio = (
        project(point, make_body(200)._replace(cover_mm=cover), CAMERA, "anterior")
    ).sum() / project(point, make_body(200), CAMERA, "anterior").sum()
    assert ratio == pytest.approx(np.exp(-0.012 * 50), rel=1e-3)


def test_count_photons_has_the_variance_of_its_mean_in_a_flat_region():
    body = make_body(200)._replace(tracer=np.full(HW, 0.5, np.float32))
    none = make_point(0, 0, 0)._replace(weight=np.zeros(1))
    flat = project(none, body, CAMERA, "anterior")[30:130, 20:76]
    rng = np.random.default_rng(0)
    for mean in (1.5, 5.0, 25.0):
        expectation = np.tile(flat * (mean / flat.mean()), (6, 6))
        counts = count_photons(rng, expectation)
        assert counts.dtype == np.uint16
        assert counts.mean() == pytest.approx(mean, rel=0.01)
        assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.02)


def test_project_spot_is_empty_for_a_spot_beyond_the_frame():
    for row, column in ((80.5, HW[1] + 40.5), (HW[0] + 60.5, 20.5), (80.5, -40.5)):
        for view in ("anterior", "posterior"):
            point = make_point(row, column, 0.0)
            _, patch = project_spot(point, make_body(0), CAMERA, view)
            assert patch.size == 0


@pytest.mark.parametrize("view", ["anterior", "posterior"])
def test_project_spot_agrees_with_project(view):
    body, point = make_body(150), make_point(61.5, 20.5, 30.0)
    whole = project(point, body, CAMERA, view)
    (top, left), patch = project_spot(point, body, CAMERA, view)
    part = whole[top : top + patch.shape[0], left : left + patch.shape[1]]
    np.testing.assert_allclose(patch, part, atol=0.05 * whole.max())
    assert patch.sum() == pytest.approx(whole.sum(), rel=0.01)
