"""dciodvfy, of dicom3tools, finds no error in what we write."""

import subprocess

import pydicom
import pytest

from tests.support.deidentified import deidentify
from tests.support.judge_tools import need
from tests.support.judged_studies import LAYOUTS, write_phantoms
from tests.support.nm_files import BOTH as BOTH_VIEWS
from tests.support.nm_files import FRAMES, write_nm

pytestmark = pytest.mark.judge
# The one exception: Debian's version, of 2022, does not know the attribute.
SYNTHETIC_DATA = (
    "Error - </(0008,001c)> - Attribute with an even group number is not a recognized "
    "standard attribute"
)


def find_errors(path):
    """The errors in a file, and the name of the definition that it was held against."""
    need("dciodvfy")
    run = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
    lines = run.stderr.splitlines()
    (definition,) = [
        line for line in lines if not line.startswith(("Error", "Warning"))
    ]
    errors = [line for line in lines if line.startswith("Error")]
    if pydicom.dcmread(path).get("SyntheticData") == "YES":
        errors.remove(SYNTHETIC_DATA)
    return definition, errors


def test_phantom_files_conform(tmp_path):
    found = {path: find_errors(path) for path in write_phantoms(tmp_path)}
    assert len(found) == 48
    assert {str(each) for each in found.values()} == {str(("NMImage", []))}


def test_deidentified_phantoms_conform(hospital, tmp_path, monkeypatch):
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", "for tests, of enough characters")
    deidentify(hospital, tmp_path / "out")
    files = sorted(tmp_path.glob("out/dicom/*.dcm"))
    assert len(files) == len(list(hospital.glob("dicom/*.dcm")))
    for path in files:
        assert find_errors(path) == ("NMImage", []), path


def test_deidentifying_a_file_that_does_not_conform_adds_no_error(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", "for tests, of enough characters")
    (tmp_path / "in").mkdir()
    path = write_nm(tmp_path / "in" / "a.dcm", FRAMES, **BOTH_VIEWS)
    deidentify(tmp_path / "in", tmp_path / "out")
    (cleaned,) = tmp_path.glob("out/dicom/*.dcm")
    before, after = find_errors(path)[1], find_errors(cleaned)[1]
    assert before and set(after) <= set(before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_conform(studies, layout):
    study = studies[layout]
    expected = {"seg": "Segmentation", "sr": "Comprehensive3DSR", "sc": "SCImage"}
    expected |= {"pdf": "EncapsulatedPDF", "gsps": "GrayscaleSoftcopyPresentationState"}
    for name, path in study.results.items():
        kind = name.partition(".")[0].partition("_")[0]
        assert find_errors(path) == (expected[kind], []), name
    for path in study.sources:
        assert find_errors(path)[1] == []


def test_it_names_what_is_wrong(hospital, tmp_path):
    dataset = pydicom.dcmread(sorted(hospital.glob("dicom/*.dcm"))[0])
    del dataset.DetectorInformationSequence[0].ImagePositionPatient
    dataset.add_new(0x00080ABC, "CS", "YES")
    dataset.save_as(tmp_path / "a.dcm")
    position, unknown = sorted(find_errors(tmp_path / "a.dcm")[1])[::-1]
    assert "ImagePositionPatient" in position and "Missing attribute" in position
    assert "(0008,0abc)" in unknown
