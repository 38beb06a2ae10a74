"""Tests of scans of other matrix and pixel sizes: the same patient in millimetres."""

import json

import numpy as np
import pytest

from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.phantom import simulate_patient, write_phantom
from spectjax.phantom.frames import Frame, draw_frame


@pytest.fixture(scope="module")
def usual():
    return simulate_patient(3)


@pytest.mark.parametrize(
    "frame",
    [
        Frame((512, 128), 4.5),
        Frame((1152, 288), 1.95),
        Frame((1024, 512), 2.2),
    ],
)
def test_a_frame_shows_the_same_patient_in_other_pixels(usual, frame):
    other = simulate_patient(3, frame=frame)
    assert (other.frame_hw, other.spacing_mm) == frame
    assert (other.age, other.size_m) == (usual.age, usual.size_m)
    for view, seen in other.views.items():
        known = usual.views[view]
        assert seen.counts.shape == frame.hw
        assert seen.lesion_sites == known.lesion_sites
        # As many photons, on other pixels.
        assert seen.expectation.sum() == pytest.approx(
            known.expectation.sum(), rel=0.05
        )
        # The detector does not grow with the frame.
        columns = np.flatnonzero(seen.expectation.any(axis=0))
        assert 480 < np.ptp(columns) * frame.spacing_mm < 590
        for first, last in ((0, 2), (1, 3)):
            size, expected = (
                (box[last] - box[first]) * spacing_mm
                for box, spacing_mm in (
                    (seen.thorax_box, frame.spacing_mm),
                    (known.thorax_box, usual.spacing_mm),
                )
            )
            assert size == pytest.approx(expected, abs=2.5 * frame.spacing_mm)


def test_frames_have_128_to_1024_columns_and_pixels_of_2_to_5_mm():
    rng = np.random.default_rng(0)
    frames = [draw_frame(rng) for _ in range(300)]
    assert {frame.hw[1] for frame in frames} == {128, 256, 288, 512, 1024}
    spacing_mm = np.array([frame.spacing_mm for frame in frames])
    assert 1.8 <= spacing_mm.min() < 1.9 and 4.7 < spacing_mm.max() <= 4.8
    # Long enough for whoever is 1.9 m tall, and as wide as a detector.
    heights, widths = (
        np.array([frame.hw[axis] * frame.spacing_mm for frame in frames])
        for axis in (0, 1)
    )
    assert heights.min() > 2030 and widths.min() > 500


def test_write_phantom_with_any_frame_says_so_and_writes_it(tmp_path):
    folder = write_phantom(tmp_path, patients=3, seed=4, any_frame=True, processes=1)
    assert json.loads((folder / "phantom.json").read_text())["any_frame"] is True
    scans, errors = find_bone_scans([folder])
    assert errors == []
    sizes = {scan.counts.shape for scan in scans}
    assert sizes == {(512, 128), (1024, 512), (1024, 256)}
    for scan in scans:
        height_mm = scan.counts.shape[0] * scan.spacing_mm[0]
        assert 2000 < height_mm < 2600
        truth = np.load(folder / "truth" / f"{scan.path.stem[:5]}.npz")
        masks = np.unpackbits(truth[f"{scan.view}_bone_masks"], axis=-1)
        assert masks.shape[1:] == scan.counts.shape
