"""Tests of `spectjax.imaging.thorax`: the map, the stages, the crop of a real scan.

The real scan is the whole-body view that pydicom ships. Where its rib cage lies was
read off the picture by eye. pydicom has it twice: as JPEG 2000 so lossy that no single
rib is left, and as good lossy JPEG that not every installation can decode.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from spectjax.imaging.dicom.reading import read_bone_scans
from spectjax.imaging.scan import BoneScan, UnreadableFileError
from spectjax.imaging.thorax import CropError, CropTransform, crop_thorax
from spectjax.imaging.thorax.body import find_body
from spectjax.imaging.thorax.curve import fit_curve
from spectjax.imaging.thorax.doubts import doubt_body, doubt_box
from spectjax.imaging.thorax.evidence import save_evidence
from spectjax.phantom import simulate_patient

REAL_SCAN = get_testdata_file("JPEG2000.dcm")
# Shoulders' top, outer edge of the ribs left and right of the picture, lowest rib.
RIB_CAGE = (189, 71, 346, 206)
PELVIS = 372


@pytest.fixture(scope="module")
def scan():
    return read_bone_scans(REAL_SCAN)[0]


@pytest.fixture(scope="module")
def good_scan():
    try:
        return read_bone_scans(get_testdata_file("JPGExtended.dcm"))[0]
    except UnreadableFileError:
        pytest.skip("no decoder for JPEG Extended")


def with_counts(scan, counts):
    return dataclasses.replace(scan, counts=counts.astype(np.float32))


def rib_cage(thorax):
    landmarks = thorax.landmarks
    return np.array(
        [landmarks.shoulders, landmarks.left, landmarks.lowest_ribs, landmarks.right]
    )


def test_transform_centres_the_box_on_the_canvas():
    transform = CropTransform(box=(3, 1, 6, 3), frame_hw=(8, 4), canvas_hw=(6, 5))
    frame = np.arange(32).reshape(8, 4)
    expected = np.zeros((6, 5), int)
    expected[1:4, 1:3] = [[13, 14], [17, 18], [21, 22]]
    np.testing.assert_array_equal(transform.apply(frame), expected)


def test_transform_undone_and_applied_again_is_the_identity_inside_the_box():
    transform = CropTransform(box=(3, 1, 6, 3), frame_hw=(8, 4), canvas_hw=(6, 5))
    canvas = transform.apply(np.arange(32).reshape(8, 4))
    np.testing.assert_array_equal(transform.apply(transform.undo(canvas)), canvas)


def random_transforms(count):
    """Boxes of any size anywhere in frames of any size, edges and full canvases too."""
    rng = np.random.default_rng(7)
    for number in range(count):
        frame_hw = tuple(int(n) for n in rng.integers(1, 60, 2))
        y0, x0 = (0 if number % 5 == 0 else int(rng.integers(n)) for n in frame_hw)
        y1 = frame_hw[0] if number % 4 == 0 else int(rng.integers(y0, frame_hw[0])) + 1
        x1 = frame_hw[1] if number % 3 == 0 else int(rng.integers(x0, frame_hw[1])) + 1
        spare = 0 if number % 7 == 0 else rng.integers(0, 12, 2)
        canvas_hw = tuple(int(n) for n in np.array([y1 - y0, x1 - x0]) + spare)
        yield CropTransform((y0, x0, y1, x1), frame_hw, canvas_hw)


def test_mask_of_the_thorax_comes_back_the_same_from_the_whole_body():
    rng = np.random.default_rng(8)
    for transform in random_transforms(500):
        y0, x0, y1, x1 = transform.box
        inside = transform.apply(np.ones(transform.frame_hw, bool))
        assert inside.sum() == (y1 - y0) * (x1 - x0)
        mask = inside & (rng.random(transform.canvas_hw) < 0.5)
        frame = transform.undo(mask)
        assert frame.sum() == mask.sum()
        np.testing.assert_array_equal(transform.apply(frame), mask)
        # Frame to canvas to frame: the same in the box, nothing around it.
        image = rng.integers(1, 1000, transform.frame_hw)
        expected = np.zeros_like(image)
        expected[y0:y1, x0:x1] = image[y0:y1, x0:x1]
        np.testing.assert_array_equal(transform.undo(transform.apply(image)), expected)


def test_mask_beyond_the_box_on_the_canvas_is_dropped_on_the_way_back():
    transform = CropTransform(box=(3, 1, 6, 3), frame_hw=(8, 4), canvas_hw=(6, 5))
    everywhere = np.ones((6, 5), bool)
    frame = transform.undo(everywhere)
    np.testing.assert_array_equal(np.argwhere(frame).min(axis=0), (3, 1))
    np.testing.assert_array_equal(np.argwhere(frame).max(axis=0), (5, 2))
    assert transform.apply(frame).sum() == 3 * 2


def test_transform_moves_points_boxes_and_pixels_alike():
    transform = CropTransform(box=(3, 1, 6, 3), frame_hw=(8, 4), canvas_hw=(6, 5))
    frame = np.zeros((8, 4), bool)
    frame[4, 2] = True
    (row,), (column,) = np.nonzero(transform.apply(frame))
    # The centre of the pixel in row 4, column 2 is the point x=2.5, y=4.5.
    moved = transform.points_to_thorax(np.array([[2.5, 4.5]]))
    np.testing.assert_array_equal(moved, [[column + 0.5, row + 0.5]])
    np.testing.assert_array_equal(transform.points_to_frame(moved), [[2.5, 4.5]])
    assert transform.box_to_frame((row, column, row + 1, column + 1)) == (4, 2, 5, 3)


@pytest.mark.parametrize("box", [(0, 0, 9, 4), (2, 2, 2, 3), (-1, 0, 3, 3)])
def test_transform_refuses_a_box_that_is_not_in_the_frame(box):
    with pytest.raises(ValueError, match="inside 8x4"):
        CropTransform(box=box, frame_hw=(8, 4))


def test_transform_refuses_a_box_larger_than_its_canvas():
    with pytest.raises(ValueError, match="7x4 pixels does not fit"):
        CropTransform(box=(0, 0, 7, 4), frame_hw=(8, 4), canvas_hw=(6, 5))


def test_transform_refuses_an_image_of_another_size():
    transform = CropTransform(box=(3, 1, 6, 3), frame_hw=(8, 4))
    with pytest.raises(ValueError, match="8x4"):
        transform.apply(np.zeros((4, 8)))


def test_fit_of_a_cubic_is_the_cubic_with_its_derivatives():
    rows = np.arange(100, 160)
    t = rows - 130.0
    curve = fit_curve(rows, t**3 - 300 * t, knot_px=20)
    np.testing.assert_allclose(curve.first, 3 * t**2 - 300, atol=1e-6)
    np.testing.assert_allclose(curve.second, 6 * t, atol=1e-6)
    # Extrema at t = -10 and t = 10; the sign changes between two rows.
    assert curve.peaks == (120,) or curve.peaks == (119,)
    assert curve.valleys == (140,) or curve.valleys == (139,)


def test_noise_threshold_is_the_largest_count_outside_the_body():
    counts = np.zeros((400, 100), np.float32)
    counts[50:350, 30:70] = 20
    counts[5, 5] = 4
    counts[390, 90] = 7
    body = find_body(counts, pixel_mm=2.3)
    assert body.noise_threshold == 7
    assert abs(body.first_row - 50) < 8
    assert abs(body.last_row - 350) < 8
    assert not body.mask[5, 5]


def test_crop_of_the_real_scan_holds_the_rib_cage_without_the_pelvis(good_scan):
    thorax = crop_thorax(good_scan)
    np.testing.assert_allclose(rib_cage(thorax), RIB_CAGE, atol=5)
    assert thorax.transform.box[2] < PELVIS
    assert thorax.flags == ()


def test_crop_of_the_real_scan_without_ribs_is_right_though_the_rules_doubt_it(scan):
    thorax = crop_thorax(scan)
    np.testing.assert_allclose(rib_cage(thorax), RIB_CAGE, atol=10)
    assert thorax.transform.box[2] < PELVIS
    assert "the edge of the ribs" in " ".join((*thorax.flags, *thorax.cleared))


def test_crop_keeps_the_counts_as_measured(scan):
    thorax = crop_thorax(scan)
    y0, x0, y1, x1 = thorax.transform.box
    inside = thorax.evidence.body.mask[y0:y1, x0:x1]
    box = scan.counts[y0:y1, x0:x1]
    assert thorax.counts.shape == (256, 256)
    assert thorax.counts.sum() == box[inside].sum()
    undone = thorax.transform.undo(thorax.counts)
    np.testing.assert_array_equal(undone[y0:y1, x0:x1][inside], box[inside])


@pytest.mark.parametrize("share", [0.3, 0.1])
def test_crop_stays_when_the_scan_has_as_few_counts_as_most_scans(good_scan, share):
    # Thinning a Poisson image keeps it Poisson: 3.6 M counts become 1.1 M and 0.36 M.
    thinned = np.random.default_rng(1).binomial(good_scan.counts.astype(int), share)
    thorax = crop_thorax(with_counts(good_scan, thinned))
    found = rib_cage(crop_thorax(good_scan))
    np.testing.assert_allclose(rib_cage(thorax), found, atol=2)
    assert thorax.flags == ()


def test_crop_of_the_mirrored_scan_is_the_mirrored_box(scan):
    width = scan.counts.shape[1]
    mirrored = rib_cage(crop_thorax(with_counts(scan, scan.counts[:, ::-1])))
    top, left, bottom, right = rib_cage(crop_thorax(scan))
    expected = [top, width - right, bottom, width - left]
    np.testing.assert_allclose(mirrored, expected, atol=1)


def test_crop_follows_a_patient_who_lies_elsewhere(scan):
    moved = np.roll(scan.counts, (-40, 3), axis=(0, 1))
    shift = rib_cage(crop_thorax(with_counts(scan, moved))) - rib_cage(
        crop_thorax(scan)
    )
    np.testing.assert_allclose(shift, [-40, 3, -40, 3], atol=2)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_crop_of_simulated_patients_is_within_ten_pixels_of_their_ribs(scan, seed):
    for view in simulate_patient(seed).views.values():
        thorax = crop_thorax(with_counts(scan, view.counts))
        np.testing.assert_allclose(rib_cage(thorax), view.thorax_box, atol=10)
        assert thorax.flags == ()


def test_crop_of_an_image_without_a_body_is_refused(scan):
    spot = np.zeros_like(scan.counts)
    spot[500:540, 100:140] = 50
    with pytest.raises(CropError, match=r"JPEG2000\.dcm.*no body"):
        crop_thorax(with_counts(scan, spot))


def bar_without_parts(shape):
    bar = np.zeros(shape)
    bar[100:800, 60:190] = 5
    return bar


def legs_only(shape):
    legs = np.zeros(shape)
    legs[300:900, 80:110] = legs[300:900, 150:180] = 5
    return legs


@pytest.mark.parametrize("draw", [bar_without_parts, legs_only])
def test_crop_of_something_that_is_no_whole_body_is_refused_or_flagged(scan, draw):
    try:
        thorax = crop_thorax(with_counts(scan, draw(scan.counts.shape)))
    except CropError:
        return
    assert thorax.flags


def test_crop_of_a_scan_that_ends_at_the_hips_is_refused_or_flagged(scan):
    cut = scan.counts.copy()
    cut[500:] = 0
    try:
        thorax = crop_thorax(with_counts(scan, cut))
    except CropError:
        return
    assert thorax.flags


def test_crop_refuses_a_penalty_outside_the_range_of_the_paper(scan):
    with pytest.raises(ValueError, match=r"\(5, 15\)"):
        crop_thorax(scan, penalty_px=15)


def test_penalty_widens_the_box_on_every_side(scan):
    narrow, wide = (crop_thorax(scan, penalty_px=p).transform.box for p in (6, 9))
    assert np.subtract(wide, narrow).tolist() == [-3, -3, 3, 3]


def test_evidence_is_a_png(scan, tmp_path):
    save_evidence(crop_thorax(scan), tmp_path / "evidence.png")
    assert (tmp_path / "evidence.png").read_bytes().startswith(b"\x89PNG")


def run_command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "spectjax.imaging.thorax", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_writes_box_and_evidence_and_names_what_it_skips(tmp_path):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(Path(REAL_SCAN).read_bytes()[:5000])
    result = run_command(f"--output_dir={tmp_path / 'out'}", REAL_SCAN, broken)
    assert result.returncode == 0, result.stderr
    assert "broken.dcm" in result.stderr
    assert "Traceback" not in result.stderr
    written = json.loads((tmp_path / "out" / "JPEG2000_anterior.json").read_text())
    assert written["box_convention"].startswith("y0, x0, y1, x1")
    assert written["box"] == list(
        crop_thorax(read_bone_scans(REAL_SCAN)[0]).transform.box
    )
    assert (tmp_path / "out" / "JPEG2000_anterior.png").exists()


def test_command_fails_when_nothing_can_be_cropped(tmp_path):
    (tmp_path / "empty").mkdir()
    result = run_command(f"--output_dir={tmp_path / 'out'}", tmp_path / "empty")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_scan_without_spacing_is_cropped_as_if_of_usual_pixels(scan):
    unknown = dataclasses.replace(scan, spacing_mm=None)
    assert isinstance(unknown, BoneScan)
    np.testing.assert_allclose(rib_cage(crop_thorax(unknown)), RIB_CAGE, atol=10)


@pytest.fixture(scope="module")
def phantom(scan):
    view = simulate_patient(11).views["posterior"]
    return crop_thorax(with_counts(scan, view.counts))


def doubt(thorax, pixel_mm=2.3, **sides):
    """The doubts about a crop whose sides were other ones."""
    readings = thorax.evidence.readings
    changed = dataclasses.replace(readings, sides=readings.sides._replace(**sides))
    body = thorax.evidence.body
    return *doubt_box(thorax.landmarks, body, changed), *doubt_body(body, pixel_mm)


@pytest.mark.parametrize(
    ("brightness", "bulge", "doubted"),
    [(0.25, 0, True), (0.25, 9, False), (1, 0, False)],
)
def test_faint_edge_is_doubted_where_it_is_straight(
    phantom, brightness, bulge, doubted
):
    """An arm's is straight; a rib cage bulges, or is as bright as the chest."""
    edges = np.tile(66 + np.round(np.linspace(0, bulge, 10)).astype(int), (2, 1))
    doubts = doubt(phantom, brightness=brightness, edges=edges)
    assert any("bulges" in sentence for sentence in doubts) is doubted


def test_measure_just_beyond_its_range_is_no_doubt_but_several_are(phantom):
    assert doubt(phantom, seen=0.3, brightness=1) == ()
    assert doubt(phantom, seen=1, brightness=0.3) == ()
    doubts = doubt(phantom, seen=0.3, brightness=0.3)
    assert any("the edge of the ribs shows: 0.300" in text for text in doubts)
    assert any("brightness of the ribs' edge" in text for text in doubts)


def test_length_is_doubted_only_where_the_size_of_a_pixel_is_known(phantom):
    assert any("mm long" in sentence for sentence in doubt(phantom, pixel_mm=9.0))
    assert doubt(phantom, pixel_mm=None) == ()
