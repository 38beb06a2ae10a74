"""Tests of `spectjax.imaging.deidentify`: nothing hides behind pixels or types."""

import struct

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless

from spectjax.imaging.deidentify.attributes import NOT_LISTED
from spectjax.imaging.deidentify.image import arrange_frames
from spectjax.imaging.dicom.reading import read_bone_scans
from tests.support.deidentified import (
    FRAMES,
    KEY,
    OPPOSITE,
    deidentify,
    files_in,
    only_output,
)
from tests.support.nm_files import item, write_nm

SECRET = b"Quastenflosser^Olga1"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", KEY)


def test_comments_in_compressed_frames_and_bytes_behind_the_pixels_stay_behind(
    tmp_path,
):
    (tmp_path / "in").mkdir()
    frames = np.pad(FRAMES, ((0, 0), (0, 60), (0, 30)))
    options = {"DetectorInformationSequence": OPPOSITE}
    compressed = tmp_path / "in" / "a.dcm"
    write_nm(compressed, frames, compress=JPEG2000Lossless, **options)
    dataset = pydicom.dcmread(compressed)
    encoded = []
    for stream in generate_frames(dataset.PixelData, number_of_frames=2):
        header = stream.index(b"\xff\x52")  # a comment goes before the coding style
        comment = b"\xff\x64" + struct.pack(">HH", 4 + len(SECRET), 1) + SECRET
        encoded.append(stream[:header] + comment + stream[header:])
    dataset.PixelData = encapsulate(encoded)
    dataset.save_as(compressed)
    padded = tmp_path / "in" / "b.dcm"
    write_nm(padded, frames, **options)
    dataset = pydicom.dcmread(padded)
    dataset.PixelData += SECRET
    dataset.save_as(padded)
    trailing = tmp_path / "in" / "c.dcm"
    write_nm(trailing, frames, **options)
    with trailing.open("ab") as stream:
        stream.write(SECRET)
    assert all(SECRET in path.read_bytes() for path in (compressed, padded, trailing))
    entries = deidentify(tmp_path / "in", tmp_path / "out")
    assert entries[0].action == "written"
    outputs = files_in(tmp_path)
    assert not any(SECRET in outputs[n] for n in outputs if not n.startswith("in/"))
    dataset = pydicom.dcmread(tmp_path / "out" / entries[0].file)
    assert dataset.PixelData == frames.astype("<u2").tobytes()


def test_what_the_header_says_of_pixels_is_written_from_the_pixels(tmp_path):
    (tmp_path / "in").mkdir()
    write_nm(
        tmp_path / "in" / "a.dcm",
        FRAMES,
        CountsAccumulated=7654321,
        SmallestImagePixelValue=1941,
        LargestImagePixelValue=4711,
        PhotometricInterpretation="PALETTE COLOR",
        DetectorVector=[2, 1],
        DetectorInformationSequence=OPPOSITE,
    )
    deidentify(tmp_path / "in", tmp_path / "out")
    path, dataset = only_output(tmp_path / "out")
    assert dataset.DetectorVector == [2, 1] and dataset.NumberOfDetectors == 2
    assert dataset.EnergyWindowVector == [1, 1] and dataset.NumberOfEnergyWindows == 1
    assert dataset.CountsAccumulated == FRAMES.sum() == 357
    assert dataset.PhotometricInterpretation == "MONOCHROME2"
    assert "4711" not in str(dataset) and "1941" not in str(dataset)
    assert [s.view for s in read_bone_scans(path)] == ["posterior", "anterior"]


def test_detectors_and_windows_are_numbered_anew():
    dataset = item(
        DetectorVector=[4711, 4711, 2, 2],
        EnergyWindowVector=[3, 1941, 3, 1941],
        DetectorInformationSequence=OPPOSITE,
        EnergyWindowInformationSequence=[item(EnergyWindowName=n) for n in "abc"],
    )
    vectors = arrange_frames(dataset, {4711: "anterior"}, 4)
    assert vectors["DetectorVector"] == [2, 2, 1, 1]
    assert vectors["EnergyWindowVector"] == [1, 2, 1, 2]
    assert (vectors["NumberOfDetectors"], vectors["NumberOfEnergyWindows"]) == (2, 2)
    second, unknown = dataset.DetectorInformationSequence
    assert second.ViewCodeSequence[0].CodeMeaning == "Posterior"
    assert unknown.ViewCodeSequence[0].CodeMeaning == "Anterior"
    names = [i.get("EnergyWindowName") for i in dataset.EnergyWindowInformationSequence]
    assert names == ["c", None]


def test_text_under_a_type_for_numbers_does_not_stay(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.dcm"
    keywords = "SeriesNumber ActualFrameDuration ScanLength TableHeight WindowCenter"
    write_nm(
        path,
        FRAMES,
        DetectorInformationSequence=OPPOSITE,
        **dict.fromkeys(keywords.split(), "1112223334"),
    )
    content = path.read_bytes()
    assert content.count(b"1112223334") == 5
    path.write_bytes(content.replace(b"1112223334", b"QUASTENFLO"))
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out")
    assert entry.action == "written"
    for output in files_in(tmp_path / "out").values():
        assert b"QUASTENFLO" not in output


@pytest.mark.parametrize(
    "character_set", ["ISO_IR 100", "GB18030", ["", "ISO 2022 IR 87"]]
)
def test_text_of_any_character_set_does_not_stay(tmp_path, character_set):
    (tmp_path / "in").mkdir()
    name = "M\u00fcller" if character_set == "ISO_IR 100" else "\u5c71\u7530"
    write_nm(
        tmp_path / "in" / "a.dcm",
        FRAMES,
        SpecificCharacterSet=character_set,
        PatientName=name,
        Manufacturer=f"GE {name}",
        DetectorInformationSequence=OPPOSITE,
    )
    (entry,) = deidentify(tmp_path / "in", tmp_path / "out")
    path, dataset = only_output(tmp_path / "out")
    assert entry.tally["Manufacturer", NOT_LISTED] == 1 and not dataset.Manufacturer
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    for encoding in ("utf-8", "latin-1", "gb18030", "iso2022_jp"):
        spelt = name.encode(encoding, "replace")
        assert spelt not in path.read_bytes()


def test_a_phantom_keeps_its_physics(hospital, tmp_path):
    deidentify(hospital / "dicom", tmp_path / "out")
    originals = [pydicom.dcmread(p) for p in (hospital / "dicom").glob("*")]
    results = [pydicom.dcmread(p) for p in (tmp_path / "out" / "dicom").iterdir()]
    for dataset in results:
        (tracer,) = dataset.RadiopharmaceuticalInformationSequence
        assert tracer.Radiopharmaceutical == "Tc-99m MDP"
        assert tracer.RadionuclideCodeSequence[0].CodeMeaning == "99mTechnetium"
        assert (dataset.Manufacturer, dataset.WholeBodyTechnique) == (
            "SYNTHETIC",
            "1PS",
        )
    for keyword in ("CountsAccumulated", "ScanLength", "PixelSpacing", "Rows"):
        assert sorted(str(d[keyword].value) for d in originals) == sorted(
            str(d[keyword].value) for d in results
        )
