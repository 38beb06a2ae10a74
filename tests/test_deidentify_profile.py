"""Tests of the tables behind de-identification: which attribute gets which action."""

import pydicom
import pytest
from nm_files import item
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from spectjax.imaging.deidentify import profile as profile_module
from spectjax.imaging.deidentify.attributes import Tally, clean_attributes
from spectjax.imaging.deidentify.profile import read_profile


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(
        "SPECTJAX_PSEUDONYM_KEY", "a key for tests, of enough characters"
    )


def test_uids_in_sequences_point_to_the_files_they_pointed_to(monkeypatch):
    reference = item(ReferencedSOPInstanceUID="1.2.3.9", PatientName="Secret")
    dataset = item(SourceImageSequence=[reference], SOPInstanceUID="1.2.3.9")
    flip_row(monkeypatch, "SourceImageSequence", "U")
    cleaned = clean_attributes(dataset, read_profile(), frozenset(), Tally())
    (inside,) = cleaned.SourceImageSequence
    assert inside.ReferencedSOPInstanceUID == cleaned.SOPInstanceUID != "1.2.3.9"
    assert not inside.PatientName


def flip_row(monkeypatch, keyword, action):
    """Changes one row of the profile's table."""
    original = profile_module._read_table

    def changed(name):
        rows = original(name)
        for row in rows:
            if name == "basic_profile.csv" and row["keyword"] == keyword:
                row["action"] = action
        return rows

    monkeypatch.setattr(profile_module, "_read_table", changed)


@pytest.mark.parametrize(
    ("action", "expected"),
    [("X", None), ("Z", ""), ("D", "000Y"), ("C", "000Y"), ("K", "081Y")],
)
def test_the_table_decides_what_happens(monkeypatch, action, expected):
    flip_row(monkeypatch, "PatientAge", action)
    dataset = item(PatientAge="081Y", DetectorInformationSequence=[Dataset()])
    dataset.DetectorInformationSequence[0].PatientAge = "081Y"
    cleaned = clean_attributes(dataset, read_profile(), frozenset(), Tally())
    for place in (cleaned, cleaned.DetectorInformationSequence[0]):
        assert ("PatientAge" in place) == (expected is not None)
        assert (place.get("PatientAge") or "") == (expected or "")


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("CollimatorType", "CS", "Dr. Smith's"),
        ("Manufacturer", "LO", "Smith\nEast Ward"),
        ("Manufacturer", "LO", "Smith " * 20),
        ("SOPClassUID", "UI", "1.2.3.4"),
        ("ZoomFactor", "DS", float("nan")),
    ],
)
def test_a_value_that_is_not_of_its_type_is_removed(keyword, vr, value):
    tag = pydicom.datadict.tag_for_keyword(keyword)
    element = DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)
    dataset = Dataset()
    dataset[tag] = element
    tally = Tally()
    assert len(clean_attributes(dataset, read_profile(), frozenset(), tally)) == 0
    assert dict(tally) == {(keyword, "removed: no value of its type"): 1}


def test_an_unknown_letter_in_the_table_is_an_error(monkeypatch):
    flip_row(monkeypatch, "PatientAge", "Q")
    with pytest.raises(ValueError, match="PatientAge"):
        read_profile()


# By hand from Table E.1-1, column Basic Profile.
ROWS = {
    "AccessionNumber": "Z",
    "AcquisitionContextSequence": "X/Z",
    "AcquisitionDateTime": "X/Z/D",
    "ContentCreatorName": "Z/D",
    "ContentDate": "Z/D",
    "DetectorID": "X/D",
    "DeviceSerialNumber": "X/Z/D",
    "EthnicGroup": "X",
    "FrameOfReferenceUID": "U",
    "ImageComments": "X",
    "InstitutionName": "X/Z/D",
    "OperatorsName": "X/Z/D",
    "PatientBirthDate": "Z",
    "PatientName": "Z",
    "PatientSize": "X",
    "PersonName": "D",
    "ProtocolName": "X/D",
    "ReferencedImageSequence": "X/Z/U*",
    "SeriesDate": "X/D",
    "SeriesDescription": "X",
    "SOPInstanceUID": "U",
    "SourceImageSequence": "X/Z/U*",
    "StationName": "X/Z/D",
    "StudyDate": "Z",
    "StudyID": "Z",
    "TimezoneOffsetFromUTC": "X",
    "VerifyingObserverName": "D",
    "XRaySourceID": "D",
    "CurveData": "X",
    "OverlayData": "X",
    "OverlayComments": "X",
    "PrivateAttributes": "X",
}


def test_the_table_is_that_of_the_standard():
    rows = profile_module._read_table("basic_profile.csv")
    actions = {row["keyword"]: row["action"] for row in rows}
    assert {keyword: actions.get(keyword) for keyword in ROWS} == ROWS
    assert len({row["tag"] for row in rows}) == len(rows) == 655


@pytest.mark.parametrize(
    ("tag", "action"),
    [
        (0x00080023, "Z"),  # Content Date: Z/D, type 2C
        (0x00080021, "X"),  # Series Date: X/D, type 3
        (0x00400555, "Z"),  # Acquisition Context Sequence: X/Z, type 2
        (0x00080080, "X"),  # Institution Name: X/Z/D, type 3
        (0x0040A123, "D"),  # Person Name: D, in no NM image
        (0x00080070, "K"),  # Manufacturer: NM image only
        (0x00181234, "X"),  # in neither table
        (0x00091001, "X"),  # private
        (0x60103000, "X"),
        (0x50FE0005, "X"),
    ],
)
def test_the_type_of_an_attribute_decides_where_the_profile_leaves_a_choice(
    tag, action
):
    assert read_profile().decide(tag) == action
