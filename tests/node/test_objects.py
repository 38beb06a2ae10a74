"""DICOM objects as a node sees them: what is one, and which two are the same."""

import pydicom
import pytest
from pydicom.dataset import Dataset

from spectjax.node.objects import ObjectError, read_instance
from tests.support.nodes import encode, make_instance, read


def test_what_a_file_is(tmp_path):
    scan = make_instance(tmp_path, SeriesInstanceUID="1.2.3.4")
    found = read(scan)
    assert (found.uid, found.study, found.series) == ("1.2.3.1", "1.2.3", "1.2.3.4")
    assert found.sop_class == scan.SOPClassUID
    assert found.size == len(encode(scan))
    assert len(found.patient) == 16


@pytest.mark.parametrize("end", [-1, -40, 400, 140, 0])
def test_file_that_is_cut_off_is_none(tmp_path, end):
    with pytest.raises(ObjectError):
        read_instance(encode(make_instance(tmp_path))[:end])


@pytest.mark.parametrize(
    ("key", "uid"),
    [
        ("SOPInstanceUID", ""),
        ("StudyInstanceUID", "../../etc/passwd"),
        ("StudyInstanceUID", "1" * 65),
        ("SOPClassUID", "1.2.3\n4"),
        ("SeriesInstanceUID", "series"),
    ],
)
# pydicom says what is wrong with a UID, too.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_uid_that_is_none_is_refused(tmp_path, key, uid):
    contents = encode(make_instance(tmp_path, SeriesInstanceUID="1.2.3.4"))
    dataset = pydicom.dcmread(tmp_path / "instance.dcm")
    dataset[key].value = uid
    dataset.save_as(tmp_path / "odd.dcm", enforce_file_format=False)
    assert read_instance(contents)
    with pytest.raises(ObjectError, match=f"has no {key}") as caught:
        read_instance((tmp_path / "odd.dcm").read_bytes())
    assert uid not in str(caught.value) or not uid


def test_dates_make_another_content_and_no_other_findings(tmp_path):
    first = read(make_instance(tmp_path, ContentDate="20260101"))
    second = read(make_instance(tmp_path, ContentDate="20260102"))
    third = read(make_instance(tmp_path, ContentDate="20260102", InstanceNumber=2))
    assert first.content != second.content
    assert first.findings == second.findings != third.findings


def test_items_of_sequences_do_not_run_together(tmp_path):
    one, two = Dataset(), Dataset()
    one.CodeValue, two.CodeMeaning = "A", "B"
    both = Dataset()
    both.CodeValue, both.CodeMeaning = "A", "B"
    first = read(make_instance(tmp_path, AnatomicRegionSequence=[one, two]))
    second = read(make_instance(tmp_path, AnatomicRegionSequence=[both]))
    assert first.content != second.content
