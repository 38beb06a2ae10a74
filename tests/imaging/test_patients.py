"""Tests of `spectjax.imaging.identity` and `.patients`: one patient is one patient."""

import unicodedata

import pytest

from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.identity import (
    compute_pseudonym,
    fold_id,
    fold_names,
    fold_text,
    identify,
    identify_by_id,
)
from spectjax.imaging.patients import IdentityError, unite_patients
from tests.support.nm_files import ONE, item, write_nm

PERSON = {"PatientName": "MUSTER^ERIKA", "PatientBirthDate": "19500101"}


def patient(**elements):
    """What a file with these elements says; each is of a study of its own."""
    study = "".join(map(str, elements.values())).encode().hex()
    return identify(item(**{"StudyInstanceUID": f"1.2.{int(study, 16)}"} | elements))


def unite(*identities):
    """The patients of files, by number, as they come."""
    named = [(each, f"file{i}.dcm") for i, each in enumerate(identities)]
    united = unite_patients(named)
    patients = [united[each.patient] for each in identities]
    return [patients.index(each) for each in patients]


def assert_contradiction(text, *identities, named=("file0.dcm", "file1.dcm")):
    for order in (identities, identities[::-1]):
        with pytest.raises(IdentityError, match=text) as caught:
            unite(*order)
        message = str(caught.value)
        assert all(name in message for name in named)
        assert "MUSTER" not in message and "\n" not in message


@pytest.mark.parametrize(
    "other",
    [
        "muster^erika",
        "MUSTER^ERIKA^^^",
        "  Muster ^ Erika ",
        "MUSTER^ERIKA^^DR^MD",
        "MUSTER, ERIKA",
        "ＭＵＳＴＥＲ^ＥＲＩＫＡ",
        "MUSTER^ERIKA=無名^花子=むめい^はなこ",
        "Muster^Erika\0",
    ],
)
def test_a_name_is_the_same_however_it_is_written(other):
    assert fold_names(other)[0] == fold_names("MUSTER^ERIKA")[0] == "MUSTER^ERIKA"


def test_unicode_forms_are_one_and_scripts_are_not_forgotten():
    composed = unicodedata.normalize("NFC", "Müller^Jörg")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    assert fold_names(composed) == fold_names(decomposed) == ["MÜLLER^JÖRG"]
    assert fold_names("=山田^太郎") == ["山田^太郎"]
    assert fold_names("MUSTER^ERIKA") != fold_names("MUSTER^MAX")
    assert fold_names("^^^") == fold_names("") == fold_names("==") == []


@pytest.mark.parametrize(
    ("other", "folded"),
    [
        (" id-4711 ", "ID-4711"),
        ("ＩＤ-４７１１", "ID-4711"),
        ("id-4711\u200b", "ID-4711"),
        ("1.0", "1"),
        ("1,00", "1"),
        ("1.05", "1.05"),
        ("007", "007"),
        ("A  B", "A B"),
        ("Straße", "STRASSE"),
        ("0a1b2c3d4e5f6a7b", "0a1b2c3d4e5f6a7b"),
        ("0A1B2C3D4E5F6A7B", "0a1b2c3d4e5f6a7b"),
    ],
)
def test_an_id_is_the_same_however_it_is_written(other, folded):
    assert fold_id(other) == folded


@pytest.mark.parametrize("clean", ["ID-4711", "007", "P0001", "0a1b2c3d4e5f6a7b"])
def test_pseudonyms_of_clean_ids_are_what_they_were(clean):
    raw = compute_pseudonym("id", "", clean)
    assert patient(PatientID=clean).patient == identify_by_id(clean).patient == raw
    issued = patient(PatientID=clean, IssuerOfPatientID="HOSPITAL")
    assert issued.patient == compute_pseudonym("id", "HOSPITAL", clean)
    assert fold_text("1.2.840.10008") == "1.2.840.10008"


def test_an_id_with_its_issuer_and_without_is_one_patient():
    bare = patient(PatientID="4711")
    issued = patient(PatientID="4711", IssuerOfPatientID="HOSPITAL")
    again = patient(PatientID="4711", IssuerOfPatientID=" hospital")
    assert unite(bare, issued, again) == unite(issued, bare, again) == [0, 0, 0]


def test_two_issuers_of_an_id_are_two_patients_and_without_one_nobody_knows():
    one, other = (patient(PatientID="4711", IssuerOfPatientID=name) for name in "AB")
    assert unite(one, other, patient(PatientID="4712")) == [0, 1, 2]
    assert_contradiction(
        "an Issuer of Patient ID, since two have given this ID",
        one,
        patient(PatientID="4711"),
        other,
        named=("file0.dcm", "file1.dcm", "file2.dcm"),
    )


def test_a_file_without_id_is_of_the_patient_with_its_name_and_birth_date():
    known = patient(PatientID="4711", **PERSON)
    unknown = patient(**PERSON)
    namesake = patient(**PERSON | {"PatientBirthDate": "19600101"})
    assert unknown.evidence == "name and birth date"
    assert unite(unknown, known, namesake) == [0, 0, 2]


def test_the_files_of_a_study_are_of_one_patient_if_nothing_speaks_against_it():
    study = {"StudyInstanceUID": "1.2.3"}
    known = patient(PatientID="4711", PatientName="MUSTER^ERIKA", **study)
    named = patient(PatientName="Muster^Erika^", **study)
    silent = patient(**study)
    assert silent.evidence == named.evidence == "study"
    assert unite(silent, known, named, patient(PatientID="1")) == [0, 0, 0, 3]


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ({"PatientID": "1"}, {"PatientID": "2"}, "Patient ID"),
        ({"PatientID": "007"}, {"PatientID": "7"}, "Patient ID"),
        (
            {"PatientID": "1", "IssuerOfPatientID": "A"},
            {"PatientID": "1", "IssuerOfPatientID": "B"},
            "Patient ID",
        ),
        ({"PatientID": "1", "PatientName": "A"}, {"PatientName": "B"}, "name"),
        (PERSON, PERSON | {"PatientName": "MUSTER^MAX"}, "name"),
        (
            {"PatientID": "1", "PatientBirthDate": "19500101"},
            {"PatientBirthDate": "19500102"},
            "birth date",
        ),
    ],
)
def test_one_study_under_two_patients_is_an_error(one, other, what):
    study = {"StudyInstanceUID": "1.2.3"}
    text = f"one patient for one Study Instance UID, found two, by their {what}"
    assert_contradiction(text, patient(**one, **study), patient(**other, **study))


def test_a_patient_id_with_two_birth_dates_is_an_error():
    one = patient(PatientID="1", PatientBirthDate="19500101")
    same = patient(PatientID="1", PatientBirthDate="19500101", PatientName="MARRIED")
    other = patient(PatientID="1", PatientBirthDate="19500102")
    assert unite(one, same, patient(PatientID="1")) == [0, 0, 0]
    assert_contradiction("one birth date for one patient, found two", one, other)


def test_one_person_under_two_patient_ids_is_an_error():
    one, other = patient(PatientID="007", **PERSON), patient(PatientID="7", **PERSON)
    text = "one Patient ID for one name and birth date, found two"
    assert_contradiction(text, one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("YAMADA^TAROU=山田^太郎", "=山田^太郎"),
        ("YAMADA^TAROU=山田^太郎=やまだ^たろう", "==やまだ^たろう"),
        ("YAMADA^TAROU=山田^太郎", "山田^太郎"),
    ],
)
def test_a_name_in_two_scripts_and_in_one_of_them_is_of_one_patient(one, other):
    both = [
        patient(PatientName=name, PatientBirthDate="19500101", StudyInstanceUID=study)
        for name, study in ((one, "1.2.1"), (other, "1.2.2"))
    ]
    assert unite(*both) == unite(*both[::-1]) == [0, 0]
    assert unite(*both, patient(PatientID="7", **PERSON)) == [0, 0, 2]


@pytest.mark.parametrize("other", ["A\u20111", "A\u22121", "A-\u200b1", "\u00ada-1"])
def test_dashes_are_alike_and_what_is_not_seen_does_not_count(other):
    assert fold_id(other) == "A-1"


def test_the_sign_that_makes_a_spreadsheet_keep_zeros_is_no_part_of_an_id():
    assert fold_id("'007") == "007" != fold_id("7")


def test_a_dummy_that_most_patients_share_is_no_person():
    dummy = {"PatientName": "ANONYMOUS", "PatientBirthDate": "19000101"}
    many = [patient(PatientID=str(i), **dummy) for i in range(4)]
    assert unite(*many) == [0, 1, 2, 3]
    others = [patient(PatientID=str(i)) for i in range(4, 9)]
    with pytest.raises(IdentityError, match="one name and birth date"):
        unite(*many, *others)
    removed = [
        patient(PatientID=str(i), PatientIdentityRemoved="YES", **PERSON)
        for i in range(2)
    ]
    assert unite(*removed) == [0, 1]


def test_scans_of_a_folder_carry_what_is_compared(tmp_path):
    for name, issuer in (("a.dcm", "HOSPITAL"), ("b.dcm", None)):
        elements = {"IssuerOfPatientID": issuer} if issuer else {}
        write_nm(tmp_path / name, ONE, ge_labels="_E", **elements)
    scans, errors = find_bone_scans([tmp_path])
    assert errors == []
    assert len({scan.patient_key for scan in scans}) == 2
    united = unite_patients((scan.identity, str(scan.path)) for scan in scans)
    assert len({united[scan.patient_key] for scan in scans}) == 1
