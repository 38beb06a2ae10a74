"""Tests of other cameras: the same patients, on other images."""

import json

import numpy as np
import pydicom
import pytest

from spectjax.phantom import PhantomError, write_phantom
from spectjax.phantom.camera import fwhm_mm
from spectjax.phantom.devices import DEVICES
from spectjax.phantom.tracer import Exam

PATIENTS = 3


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    def write(**choice):
        folder = tmp_path_factory.mktemp("phantom") / "set"
        return write_phantom(folder, patients=PATIENTS, seed=4, processes=1, **choice)

    return write


@pytest.fixture(scope="module")
def folders(write):
    names = ("usual", "fast", "coarse")
    return {name: write(camera=name, issuer=name) for name in names}


def read(folder):
    """The files of a phantom, and the truth of each patient."""
    files = [pydicom.dcmread(path) for path in sorted(folder.glob("dicom/*.dcm"))]
    return files, [np.load(path) for path in sorted(folder.glob("truth/*.npz"))]


@pytest.mark.parametrize("name", ["fast", "coarse"])
def test_the_same_patients_lie_under_every_camera(folders, name):
    usual, other = read(folders["usual"]), read(folders[name])
    for one, two in zip(usual[0], other[0], strict=True):
        for key in ("PatientSize", "PatientSex", "PatientAge", "NumberOfFrames"):
            assert one[key].value == two[key].value
        assert abs(one.PatientWeight - two.PatientWeight) < 1
        assert one.SOPInstanceUID != two.SOPInstanceUID
        assert one.StudyInstanceUID != two.StudyInstanceUID
        assert (two.IssuerOfPatientID, two.ManufacturerModelName) == (name, name)
    for one, two in zip(usual[1], other[1], strict=True):
        assert list(one) == list(two)
        for key in one:
            if key.endswith(("sites", "diagnosis")) and "benign" not in key:
                assert one[key].tolist() == two[key].tolist()


def test_a_fast_camera_has_half_of_the_counts(folders):
    exam = Exam(600.0, 3.0, 2.0, 50.0, 150.0)
    # 330/202 of the counts a second, for 0.6 of the activity and half of the time.
    share = DEVICES["fast"].use(exam).counts_per_share / exam.counts_per_share
    assert share == pytest.approx(0.4901, abs=1e-4)
    for one, two in zip(*(read(folders[n])[0] for n in ("usual", "fast")), strict=True):
        # What comes from nowhere, some 1 to 3 % of all, does not depend on the camera.
        assert share < two.CountsAccumulated / one.CountsAccumulated < share + 0.03
        assert two.ScanVelocity == pytest.approx(2 * one.ScanVelocity, rel=1e-3)
        assert (two.Rows, two.Columns) == (1024, 256)


def test_its_collimator_shows_less_detail():
    # At 10 cm: the square root of 3.8^2 + (d (23.29 + 100) / 23.29)^2.
    assert float(fwhm_mm(100)) == pytest.approx(6.99, abs=0.01)
    assert float(fwhm_mm(100, 1.45)) == pytest.approx(8.57, abs=0.01)


def test_its_images_are_smoother(folders):
    for one, two in zip(*(read(folders[n])[0] for n in ("usual", "fast")), strict=True):
        sharp = []
        for scan in (one, two):
            image = scan.pixel_array.reshape(-1, scan.Rows, scan.Columns).astype(float)
            # Of the power at 1/16 to 1/8 cycle a pixel, noise taken off as its mean.
            power = np.abs(np.fft.rfft2(image)) ** 2 / image.sum((1, 2))[:, None, None]
            radius = np.hypot(
                np.fft.fftfreq(scan.Rows)[:, None], np.fft.rfftfreq(scan.Columns)
            )
            bands = (0.02, 0.04), (0.08, 0.125)
            low, high = (
                power[:, (a < radius) & (radius < b)].mean() - 1 for a, b in bands
            )
            sharp.append(high / low)
        assert sharp[1] < 0.9 * sharp[0]


def test_a_coarse_camera_has_128_columns_of_4_7_mm(folders):
    for scan in read(folders["coarse"])[0]:
        assert (scan.Rows, scan.Columns) == (512, 128)
        assert list(scan.PixelSpacing) == [4.7, 4.7]


def test_what_is_usual_is_not_written(folders, write):
    plain, other = write(), folders["coarse"]
    assert not {"camera", "issuer"} & set(
        json.loads((plain / "phantom.json").read_text())
    )
    for scan in read(plain)[0]:
        assert "IssuerOfPatientID" not in scan and "ManufacturerModelName" not in scan
    found = json.loads((other / "phantom.json").read_text())
    assert (found["camera"], found["issuer"]) == ("coarse", "coarse")


def test_a_folder_of_another_camera_is_no_place_for_the_usual_one(folders):
    arguments = {"patients": PATIENTS, "seed": 4, "processes": 1}
    with pytest.raises(PhantomError, match="camera fast, not usual"):
        write_phantom(folders["fast"], issuer="fast", **arguments)
    with pytest.raises(PhantomError, match="issuer usual, not "):
        write_phantom(folders["usual"], **arguments)


@pytest.mark.parametrize(
    "choice", [{"camera": "other"}, {"camera": "coarse", "any_frame": True}]
)
def test_a_camera_that_cannot_be_is_refused(tmp_path, choice):
    with pytest.raises(PhantomError, match="Expected a camera, one of usual, fast, co"):
        write_phantom(tmp_path / "set", patients=1, seed=0, **choice)
    assert not (tmp_path / "set").exists()
