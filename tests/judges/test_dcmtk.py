"""dcmtk reads reports and presentation states without a complaint, pdfinfo the PDF."""

import re
import subprocess

import pydicom
import pytest

from tests.support.judge_tools import need
from tests.support.judged_studies import LAYOUTS

pytestmark = pytest.mark.judge
NO_UTF8 = "W: The VR checker does not support this Specific Character Set: ISO_IR 192"


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, errors="replace")


def check(state):
    """What dcmpschk says of a presentation state."""
    done = run("dcmpschk", state)
    return done.stdout + done.stderr


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dsrdump_reads_reports(studies, layout):
    need("dcmtk")
    done = run("dsrdump", studies[layout].results["sr.dcm"])
    assert (done.returncode, done.stderr.strip()) == (0, NO_UTF8)
    assert "Imaging Measurement Report" in done.stdout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dcmpschk_passes_presentation_states(studies, layout):
    need("dcmtk")
    study = studies[layout]
    states = [p for name, p in study.results.items() if name.startswith("gsps")]
    assert states
    for path in states:
        assert "Test passed" in check(path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pdfinfo_reads_the_document(studies, layout, tmp_path):
    need("pdfinfo")
    dataset = pydicom.dcmread(studies[layout].results["pdf.dcm"])
    content = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
    (tmp_path / "a.pdf").write_bytes(content)
    done = run("pdfinfo", tmp_path / "a.pdf")
    assert (done.returncode, done.stderr) == (0, "")
    assert int(re.search(r"^Pages: +(\d+)", done.stdout, re.M)[1]) >= 1
    assert re.search(r"^Title: .*RESEARCH ONLY", done.stdout, re.M)


def test_they_name_what_is_wrong(studies, tmp_path):
    need("dcmtk", "pdfinfo")
    report = pydicom.dcmread(studies["two files"].results["sr.dcm"])
    del report.ContentSequence[0].ValueType
    report.save_as(tmp_path / "sr.dcm")
    assert "E: " in run("dsrdump", tmp_path / "sr.dcm").stderr
    state = pydicom.dcmread(studies["two files"].results["gsps_1.dcm"])
    del state.PresentationLUTShape
    state.save_as(tmp_path / "gsps.dcm")
    assert "Test passed" not in check(tmp_path / "gsps.dcm")
    (tmp_path / "a.pdf").write_bytes(b"no PDF")
    assert run("pdfinfo", tmp_path / "a.pdf").returncode != 0
