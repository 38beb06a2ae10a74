"""The program that a node asks by default, about studies that it cannot read."""

import pytest

from spectjax.node.model import UnreadableStudyError, read_study
from tests.support.nm_files import BOTH, FRAMES, write_nm

OPTIONS = {"pdf": False, "gsps": False, "operating_point": None}


def ask(folder):
    # Nothing of it is a scan, and so no model is asked.
    (folder / "out").mkdir()
    return read_study(None, folder / "in", folder / "out", OPTIONS)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path


STATIC = {"ImageType": ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]}


def test_what_is_no_whole_body_scan_is_nothing_for_it(folder):
    for name in "ab":
        write_nm(folder / "in" / f"{name}.dcm", FRAMES, **BOTH, **STATIC)
    reason = ask(folder)
    assert reason.startswith("a.dcm: expected an NM image of type WHOLE BODY")
    assert "b.dcm: expected" in reason
    assert str(folder) not in reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (BOTH | {"PixelData": b"\0\1"}, "cut off"),
        ({}, "view"),
        (BOTH | {"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
        (BOTH | {"ImageType": ["ORIGINAL", "PRIMARY"]}, "type unstated"),
        (BOTH | {"Rows": 16, "Columns": 64}, "16x64 pixels"),
    ],
)
def test_scan_that_cannot_be_read_is_no_nothing(folder, changes, words):
    write_nm(folder / "in" / "a.dcm", FRAMES, **BOTH, **STATIC)
    write_nm(folder / "in" / "b.dcm", FRAMES, **changes)
    with pytest.raises(UnreadableStudyError, match=words):
        ask(folder)


def test_file_that_is_no_dicom_is_no_nothing(folder):
    (folder / "in" / "a.dcm").write_bytes(b"garbage")
    with pytest.raises(UnreadableStudyError, match="expected a DICOM file"):
        ask(folder)
