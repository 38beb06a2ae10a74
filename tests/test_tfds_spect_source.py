"""Tests of `tfds_spect.source` and `tfds_spect.image`: what is read and left out."""

import dataclasses
import json
import shutil

import numpy as np
import pydicom
import pytest

from tfds_spect import image, source


def dicom_file(folder, number=0):
    return sorted((folder / "dicom").iterdir())[number]


def annotations_of(folder, dicom):
    return sorted((folder / "annotations").glob(f"*/{dicom.stem}_*"))


def reasons(skips, name):
    return [skip.reason for skip in skips if skip.name.startswith(name)]


def test_what_is_left_out_is_listed_with_its_reason(spoilt, tmp_path):
    first, second, third = (dicom_file(spoilt, i) for i in range(3))
    (spoilt / "broken.dcm").write_bytes(first.read_bytes()[:5000])
    for path in annotations_of(spoilt, second):
        path.unlink()
    stranger = annotations_of(spoilt, third)[0]
    view = stranger.stem.rpartition("_")[2]
    text = stranger.read_text().replace(third.stem, "P9999")
    stranger.with_name(f"P9999_{view}.json").write_text(text)
    document = json.loads(stranger.read_text())
    document["shapes"] = [
        {"label": "benign", "points": [[9, 9], [20, 20]], "shape_type": "rectangle"}
    ]
    stranger.write_text(json.dumps(document))

    originals, skips = source.read_source(spoilt)
    assert reasons(skips, "broken.dcm")
    assert set(reasons(skips, second.stem)) == {"no annotation"}
    assert reasons(skips, "P9999") == ["annotated; expected one image, found none"]
    assert "'benign'" in reasons(skips, f"{third.stem}_{view}")[0]
    assert originals


def test_an_uncertain_crop_is_left_out_with_its_reason(hospital, monkeypatch):
    crop = image.crop_thorax
    monkeypatch.setattr(
        image,
        "crop_thorax",
        lambda scan: dataclasses.replace(crop(scan), flags=("ribs not found",)),
    )
    originals, skips = source.read_source(hospital)
    assert not originals
    assert {skip.reason for skip in skips} >= {"uncertain crop: ribs not found"}


def test_an_image_of_an_unknown_patient_is_left_out_for_it_could_leak(spoilt):
    file = dicom_file(spoilt)
    dataset = pydicom.dcmread(file)
    dataset.PatientID = dataset.PatientName = ""
    dataset.save_as(file)
    originals, skips = source.read_source(spoilt)
    assert all(
        "both sides of a split" in reason for reason in reasons(skips, file.stem)
    )
    assert reasons(skips, file.stem)
    assert originals


def test_images_of_one_name_are_left_out_for_both_could_be_meant(spoilt):
    file = dicom_file(spoilt)
    dataset = pydicom.dcmread(file)
    dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientID = "another"
    (spoilt / "again").mkdir()
    dataset.save_as(spoilt / "again" / file.name)
    originals, skips = source.read_source(spoilt)
    assert "found again/" in reasons(skips, f"{file.stem}_")[0]
    assert len(originals) < len(source.read_source(spoilt / "dicom")[1])


def test_the_same_image_in_two_files_counts_once(spoilt):
    before, _ = source.read_source(spoilt)
    file = dicom_file(spoilt)
    shutil.copy(file, file.with_name("again.dcm"))
    for path in annotations_of(spoilt, file):
        text = path.read_text().replace(file.stem, "again")
        path.with_name(path.name.replace(file.stem, "again")).write_text(text)
    after, skips = source.read_source(spoilt)
    assert {e.source for e in after} == {e.source for e in before}
    assert "same image" in " ".join(skip.reason for skip in skips)


@pytest.mark.parametrize("value", [-1.0, 0.5, 65536.0])
def test_store_counts_refuses_what_uint16_cannot_hold(value):
    counts = np.array([[0.0, 65535.0], [7.0, value]], np.float32)
    with pytest.raises(image.UnusableImageError, match="whole numbers"):
        image.store_counts(counts)


def test_outlines_of_other_words_count_through_words_csv(spoilt):
    """Readers write SPINE MET and the like; an empty word is one to pass over."""
    wanted, _ = source.read_source(spoilt)
    for path in (spoilt / "annotations").rglob("*.json"):
        document = json.loads(path.read_text())
        for shape in document["shapes"]:
            shape["label"] = f" Hospital's {shape['label'].upper()}"
        document["shapes"].append(
            {
                "label": "marker",
                "points": [[1, 1], [5, 9]],
                "shape_type": "rectangle",
            }
        )
        path.write_text(json.dumps(document))
    _, skips = source.read_source(spoilt)
    assert "hospital's metastasis" in " ".join(skip.reason for skip in skips)
    words = ("metastasis", "spinal metastasis", "metastasis outside spine")
    table = ["word,label", "marker,", *(f"hospital's {w},{w}" for w in words)]
    (spoilt / "words.csv").write_text("\n".join(table))
    found, _ = source.read_source(spoilt)
    assert [e.example_id for e in found] == [e.example_id for e in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.lesions, other.lesions)
        assert one.diagnosis == other.diagnosis


def test_number_masks_numbers_lesions_from_one():
    masks = np.zeros((2, 2, 3), bool)
    masks[0, 0, :2] = masks[1, 1, 2] = True
    assert image.number_masks(masks).tolist() == [[1, 1, 0], [0, 0, 2]]
    assert image.number_masks(masks[:0]).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_the_fingerprint_is_of_the_pseudonym_key(hospital, monkeypatch):
    before = source.fingerprint_folder(hospital)
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", "secret")
    assert source.fingerprint_folder(hospital) != before


def test_the_fingerprint_is_of_names_and_contents_that_count(spoilt):
    before = source.fingerprint_folder(spoilt)
    (spoilt / "notes.txt").write_text("not read by anyone")
    assert source.fingerprint_folder(spoilt) == before
    file = dicom_file(spoilt, -1)
    file.rename(file.with_name("Z.dcm"))  # last as before, only the name differs
    assert source.fingerprint_folder(spoilt) != before


MASK_XML = """<annotation><filename>{name}.png</filename><object><name>metastasis</name>
<segm><username>d</username><mask>{name}_mask_0.png</mask></segm></object>
<imagesize><nrows>1024</nrows><ncols>256</ncols></imagesize></annotation>"""


@pytest.mark.parametrize("place", [".", "Masks", "../../Masks/reader1"])
def test_the_fingerprint_is_of_masks_that_an_annotation_names(spoilt, place):
    reader, name = spoilt / "annotations" / "reader1", "P0002_A_anterior"
    (reader / f"{name}.xml").write_text(MASK_XML.format(name=name))
    mask = (reader / place).resolve() / f"{name}_mask_0.png"
    mask.parent.mkdir(parents=True, exist_ok=True)
    found = {source.fingerprint_folder(spoilt)}
    for content in (b"one mask", b"another one"):
        mask.write_bytes(content)
        found.add(source.fingerprint_folder(spoilt))
    assert len(found) == 3
    (mask.parent / "other.png").write_bytes(b"that nobody names")
    assert source.fingerprint_folder(spoilt) in found


def test_the_fingerprint_is_of_what_a_link_leads_to(spoilt, tmp_path):
    file = sorted((spoilt / "annotations" / "reader1").glob("*.json"))[0]
    before = source.fingerprint_folder(spoilt)
    elsewhere = file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(elsewhere)
    assert source.fingerprint_folder(spoilt) == before
    elsewhere.write_text(elsewhere.read_text() + " ")
    assert source.fingerprint_folder(spoilt) != before


def test_the_fingerprint_is_of_what_can_be_read_and_what_cannot(spoilt, monkeypatch):
    before = source.fingerprint_folder(spoilt)
    read = source._hash
    monkeypatch.setattr(  # as where a file may not be read
        source, "_hash", lambda x: "unreadable" if "P0002" in x.name else read(x)
    )
    assert source.fingerprint_folder(spoilt) != before


def test_a_file_that_cannot_be_read_counts_as_such(spoilt):
    assert source._hash(spoilt) == source._hash(spoilt / "nowhere") == "unreadable"
