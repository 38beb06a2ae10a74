"""PixelMed's DicomSRValidator finds no error in any report: IODs and templates.

IHE's test bench runs it; it knows TID 1500 and all that lies below.
"""

import pydicom
import pytest

from tests.support.judged_studies import LAYOUTS
from tests.support.pixelmed import validate_reports

pytestmark = pytest.mark.judge
WITHOUT_ERROR = [
    "Found Comprehensive3DSR IOD",
    "Found Root Template TID_1500 (MeasurementReport)",
    "Root Template Validation Complete",
    "IOD validation complete",
]


def without_warnings(lines):
    return [line for line in lines if not line.startswith("Warning")]


@pytest.fixture(scope="module")
def verdicts(studies):
    reports = [study.results["sr.dcm"] for study in studies.values()]
    return dict(zip(studies, validate_reports(reports), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reports_have_no_error(verdicts, layout):
    assert without_warnings(verdicts[layout]) == WITHOUT_ERROR


def test_it_names_what_is_wrong(studies, tmp_path):
    report = pydicom.dcmread(studies["two files"].results["sr.dcm"])
    for item in report.ContentSequence:
        name = item.ConceptNameCodeSequence[0]
        if name.CodeMeaning == "Procedure reported":
            item.ConceptCodeSequence[0].CodeValue = "49121-7"
    report.save_as(tmp_path / "sr.dcm")
    (lines,) = validate_reports([tmp_path / "sr.dcm"])
    errors = [line for line in lines if line.startswith("Error")]
    assert errors and all("49121-7" in line for line in errors)
