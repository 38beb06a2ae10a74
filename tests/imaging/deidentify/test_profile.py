"""Tests of the tables behind de-identification: which attribute gets which action."""

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import CONCEPTS

from spectjax.imaging.deidentify import profile as profile_module
from spectjax.imaging.deidentify.attributes import (
    NOT_LISTED,
    Tally,
    clean_attributes,
    collect_identity,
)
from spectjax.imaging.deidentify.profile import read_profile
from tests.support.nm_files import item


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv(
        "SPECTJAX_PSEUDONYM_KEY", "a key for tests, of enough characters"
    )


def test_uids_in_sequences_point_to_the_files_they_pointed_to(monkeypatch):
    reference = item(ReferencedSOPInstanceUID="1.2.3.9", PatientName="Secret")
    dataset = item(SourceImageSequence=[reference], SOPInstanceUID="1.2.3.9")
    flip_row(monkeypatch, "SourceImageSequence", "U")
    cleaned = clean_attributes(dataset, read_profile(), (), Tally())
    (inside,) = cleaned.SourceImageSequence
    assert inside.ReferencedSOPInstanceUID == cleaned.SOPInstanceUID != "1.2.3.9"
    assert not inside.PatientName


def flip_row(monkeypatch, keyword, action):
    """Changes one row of the profile's table."""
    original = profile_module.read_rows

    def changed(name):
        rows = original(name)
        for row in rows:
            if name == "basic_profile.csv" and row["keyword"] == keyword:
                row["action"] = action
        return rows

    monkeypatch.setattr(profile_module, "read_rows", changed)


@pytest.mark.parametrize(
    ("action", "expected"),
    [("X", None), ("Z", ""), ("D", "000Y"), ("C", "000Y"), ("K", None)],
)
def test_the_table_decides_what_happens(monkeypatch, action, expected):
    flip_row(monkeypatch, "PatientAge", action)
    dataset = item(PatientAge="081Y", DetectorInformationSequence=[Dataset()])
    dataset.DetectorInformationSequence[0].PatientAge = "081Y"
    cleaned = clean_attributes(dataset, read_profile(), (), Tally())
    for place in (cleaned, cleaned.DetectorInformationSequence[0]):
        assert ("PatientAge" in place) == (expected is not None)
        assert (place.get("PatientAge") or "") == (expected or "")


def clean(keyword, value, identity=(), vr=None):
    """Cleans a data set of one element; returns the new one and what was done."""
    tag = pydicom.datadict.tag_for_keyword(keyword)
    vr = vr or pydicom.datadict.dictionary_VR(tag)
    element = DataElement(tag, vr, value, validation_mode=pydicom.config.IGNORE)
    dataset = Dataset()
    dataset[tag] = element
    tally = Tally()
    cleaned = clean_attributes(dataset, read_profile(), identity, tally)
    return cleaned, dict(tally)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("CollimatorType", "Dr. Smith's"),
        ("Manufacturer", "Smith\nEast Ward"),
        ("Manufacturer", "Smith " * 20),
        ("Radiopharmaceutical", "MDP Smith"),
        ("Radiopharmaceutical", "\u041c\u0414P"),
        ("Radiopharmaceutical", "M\u200bDP"),
        ("Radiopharmaceutical", ["MDP"] * 17),
        ("CollimatorGridName", ["LEHR", "LEHR"]),
        ("SOPClassUID", "1.2.3.4"),
        ("ZoomFactor", [float("nan"), 1.0]),
        ("ZoomFactor", [1.0, 1.0, 1.0]),
        ("WindowCenter", [1.0] * 17),
        ("SeriesNumber", 7654321),
        ("SeriesNumber", -1),
        ("PixelSpacing", [0.001, 2.0]),
        ("RescaleSlope", 0.0),
    ],
)
def test_what_is_not_listed_or_implausible_is_emptied_and_counted(keyword, value):
    cleaned, tally = clean(keyword, value)
    is_required = keyword in ("SOPClassUID", "Modality")
    assert cleaned[keyword].value == ("2.25.0" if is_required else None)
    assert tally == {(keyword, NOT_LISTED): 1}


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("Radiopharmaceutical", "99mTc-MDP ", "Tc-99m MDP"),
        ("Radiopharmaceutical", "hdp", "HDP"),
        ("CollimatorGridName", "Low Energy High Resolution", "LEHR"),
        ("Manufacturer", "GE Medical Systems", "GE MEDICAL SYSTEMS"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "WHOLE_BODY"], 3),
        ("ActualFrameDuration", 1210434, 1210000),
        ("ScanVelocity", "1.671598", 1.672),
        ("TableHeight", "-654.820025", -654.8),
        ("PixelSpacing", ["2.2084701061249", "2.4"], [2.2084701061249, 2.4]),
        ("RescaleSlope", "0.00012207031250", 0.0001220703125),
        ("SeriesNumber", "0007", 7),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.20"),
    ],
)
def test_a_listed_word_or_plausible_number_is_written_anew(keyword, value, expected):
    cleaned, tally = clean(keyword, value)
    if keyword == "ImageType":
        expected = ["ORIGINAL", "PRIMARY", "WHOLE BODY"]
    assert cleaned[keyword].value == expected
    assert tally == {(keyword, "kept"): 1}


def test_an_unlisted_word_leaves_the_words_behind_it_in_their_places():
    cleaned, tally = clean("ImageType", ["SMITH", "PRIMARY", "WHOLE BODY", "JOHN"])
    assert cleaned.ImageType == ["", "PRIMARY", "WHOLE BODY"]
    assert list(tally) == [("ImageType", NOT_LISTED)]
    cleaned, _ = clean("ImageType", ["SMITH", "JOHN"])
    assert cleaned.ImageType == "REMOVED"  # of type 1


@pytest.mark.parametrize(
    ("keyword", "number", "identifying"),
    [
        ("ScanLength", 1941, {"PatientBirthDate": "19410317"}),
        ("ScanLength", "1941.04", {"PatientBirthDate": "19410317"}),
        ("ActualFrameDuration", 4711399, {"PatientID": "4711"}),
        ("TableHeight", "76.543", {"PatientID": "7654321"}),
        ("ActualFrameDuration", 170341, {"PatientBirthDate": "19410317"}),
        ("ActualFrameDuration", 1234567, {"PatientID": "A-123.4567"}),
        ("TableHeight", "765.4321", {"PatientName": "Smith^7654321"}),
        ("PixelSpacing", ["2.7654321", "2"], {"OtherPatientIDs": ["7", "0765432"]}),
        ("SeriesNumber", 471, {"AccessionNumber": "ACC 0471"}),
        ("CountRate", 4711, {"InstitutionName": "Ward 4711/2"}),
    ],
)
def test_a_plausible_number_that_repeats_one_of_the_patient_is_emptied(
    keyword, number, identifying
):
    dataset = item(ReferencedStudySequence=[item(**identifying)])
    identity = collect_identity(dataset, read_profile())
    assert clean(keyword, number)[0][keyword].value is not None
    assert clean(keyword, number, identity)[0][keyword].value is None
    unrelated = collect_identity(item(PatientID="9081726354"), read_profile())
    assert clean(keyword, number, unrelated)[0][keyword].value is not None


@pytest.mark.parametrize(
    ("whose", "value", "keyword", "text"),
    [
        ("PatientName", "Smith^John", "Radiopharmaceutical", "JohnSmith MDP"),
        ("PatientName", "Smith^John", "ImageType", "SMITH JOHN"),
        ("PatientID", "7654321", "SeriesNumber", "7654321"),
        ("PatientName", "\u674e\u4f1f", "Radiopharmaceutical", "\u674e\u4f1f MDP"),
        ("PatientName", "M\xfcller^J\xf6rg", "Radiopharmaceutical", "Mu\u0308ller"),
        ("PatientName", "M\xfcller^J\xf6rg", "Radiopharmaceutical", "Mueller MDP"),
        ("PatientID", "A1234567", "CollimatorGridName", "A-1234567"),
        ("PatientBirthDate", "19410317", "Radiopharmaceutical", "MDP 17.03.1941"),
        ("OtherPatientNames", "Schmitz", "Radiopharmaceutical", "Schmitz"),
        ("InstitutionName", "StMarys", "Radiopharmaceutical", "StMarys"),
        ("DeviceSerialNumber", "SN998877", "SoftwareVersions", "SN998877"),
        ("AccessionNumber", "5544332", "AcquisitionNumber", "5544332"),
    ],
)
def test_text_of_one_attribute_does_not_survive_in_another(whose, value, keyword, text):
    image_type = ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]
    dataset = item(SpecificCharacterSet="ISO_IR 192", ImageType=image_type)
    setattr(dataset, whose, value)
    setattr(dataset, keyword, [*image_type, text] if keyword == "ImageType" else text)
    profile = read_profile()
    tally = Tally()
    identity = collect_identity(dataset, profile)
    cleaned = clean_attributes(dataset, profile, identity, tally)
    assert text not in str(cleaned) and value not in str(cleaned)
    assert cleaned.ImageType == image_type
    if keyword != "SoftwareVersions":  # which goes whatever it says
        assert tally[keyword, NOT_LISTED] == 1


def test_codes_are_written_with_their_own_meaning_or_left_out():
    def code(value, scheme, **more):
        return item(CodeValue=value, CodingSchemeDesignator=scheme, **more)

    modifiers = [code("40199007", "SCT"), code("SMITH", "SCT", CodeMeaning="Smith")]
    dataset = item(
        PatientOrientationCodeSequence=[
            code(
                "102538003",
                "SCT",
                CodeMeaning="John Smith",
                CodingSchemeVersion="1941",
                PatientOrientationModifierCodeSequence=modifiers,
            )
        ],
        RadionuclideCodeSequence=[code("C-163A8", "99SDM", CodeMeaning="Smith")],
        PatientGantryRelationshipCodeSequence=[code("1941", "99SMITH")],
    )
    tally = Tally()
    cleaned = clean_attributes(dataset, read_profile(), (), tally)
    (orientation,) = cleaned.PatientOrientationCodeSequence
    assert orientation.CodeMeaning == "recumbent"
    (modifier,) = orientation.PatientOrientationModifierCodeSequence
    assert (modifier.CodeValue, modifier.CodeMeaning) == ("40199007", "supine")
    (nuclide,) = cleaned.RadionuclideCodeSequence
    assert nuclide.CodingSchemeDesignator == "SRT"
    assert nuclide.CodeMeaning == "99mTechnetium"
    assert list(cleaned.PatientGantryRelationshipCodeSequence) == []
    assert "mith" not in str(cleaned) and "1941" not in str(cleaned)
    assert not any(keyword.startswith("Cod") for keyword, _ in tally)
    emptied = [keyword for keyword, deed in tally if deed == NOT_LISTED]
    assert sorted(emptied) == [
        "PatientGantryRelationshipCodeSequence",
        "PatientOrientationModifierCodeSequence",
    ]


def test_a_value_under_another_type_is_removed():
    for keyword, vr, value in (("PatientOrientation", "LO", "A"), ("Rows", "LO", "9")):
        cleaned, tally = clean(keyword, value, vr=vr)
        assert len(cleaned) == 0 and len(tally) == 1


def test_every_attribute_that_is_kept_has_its_list():
    profile = read_profile()
    kinds = {pydicom.datadict.keyword_for_tag(t): k for t, k in profile.kept.items()}
    for kind, listed in (
        ("words", profile.values.words),
        ("number", profile.values.numbers),
    ):
        assert {name for name, k in kinds.items() if k == kind} == set(listed)
    for tag, kind in profile.kept.items():
        is_sequence = pydicom.datadict.dictionary_VR(tag) == "SQ"
        assert is_sequence == (kind in ("items", "codes"))
        assert profile.decide(tag) == "K"
    for name, limits in profile.values.numbers.items():
        vr = pydicom.datadict.dictionary_VR(pydicom.datadict.tag_for_keyword(name))
        assert vr in ("DS", "IS") and limits.low < limits.high


def test_the_listed_codes_are_those_of_the_standard():
    known = {code for codes in CONCEPTS["SCT"].values() for code in codes}
    for (scheme, value), meaning in read_profile().values.codes.items():
        assert scheme in ("SCT", "SRT") and 0 < len(meaning) <= 64
        assert scheme == "SRT" or value in known


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
    rows = profile_module.read_rows("basic_profile.csv")
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
