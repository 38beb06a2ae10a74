"""Tests of `tfds_spect.source` and `tfds_spect.image`: what is read and left out."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pydicom
import pytest

from tfds_spect import image, listing, source
from tfds_spect.errors import PrepareError
from tfds_spect.tfds_spect_dataset_builder import leave_out_unmarked


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


@pytest.fixture(scope="module")
def voted(hospital, tmp_path_factory):
    """One image, for which two of three readers outlined a metastasis."""
    folder = tmp_path_factory.mktemp("voted")
    with_lesion = next(e for e in source.read_source(hospital)[0] if e.labels)
    name, dicom = with_lesion.place.name, with_lesion.place.file.path
    shutil.copy(dicom, folder / dicom.name)
    document = json.loads((hospital / f"annotations/reader1/{name}.json").read_text())
    for reader, example in (("r1", None), ("r2", with_lesion), ("r3", with_lesion)):
        y0, x0, y1, x1 = with_lesion.crop_box
        middle = [(x0 + x1) / 2, (y0 + y1) / 2]
        shape = {"label": "metastasis", "shape_type": "circle"}
        shape["points"] = [middle, [middle[0] + 9, middle[1]]]
        document["shapes"] = [shape] if example else []
        (folder / reader).mkdir()
        (folder / reader / f"{name}.json").write_text(json.dumps(document))
    return folder, name


def read_votes(voted, tmp_path, change):
    """Diagnosis and skips of the image after a change of the second reader's file."""
    folder, name = voted
    copy = pathlib.Path(shutil.copytree(folder, tmp_path / "copy"))
    change(copy / "r2" / f"{name}.json")
    originals, skips = source.read_source(copy)
    found = {e.place.name: e.diagnosis for e in originals}
    return found.get(name), {skip.name: skip.reason for skip in skips}


def change_shape(**changes):
    def change(path):
        document = json.loads(path.read_text())
        document["shapes"][0].update(changes)
        path.write_text(json.dumps(document))

    return change


THIN = [[100.1, 300.1], [140, 300.1], [140, 300.3]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.rename(path.with_suffix(".xml")), "cannot be read"),
        (lambda path: path.rename(path.with_suffix(".txt")), "a .txt file of that"),
        (change_shape(shape_type="point"), "no area"),
        (change_shape(shape_type="polygon", points=THIN), "without any"),
        (change_shape(flags={"benign": True}), "'benign'"),
    ],
)
def test_a_lost_vote_never_makes_an_image_normal(voted, tmp_path, change, reason):
    assert read_votes(voted, tmp_path / "fine", lambda path: None)[0] == "metastasis"
    diagnosis, skips = read_votes(voted, tmp_path, change)
    name = voted[1]
    assert diagnosis is None and reason in skips[name] and f"r2/{name}" in skips[name]
    assert any(path.startswith(f"r2/{name}.") for path in skips)


def test_a_vote_of_another_spelling_of_the_name_is_not_lost(voted, tmp_path):
    def rename(path):
        document = json.loads(path.read_text())
        stem = path.stem.lower()
        document["imagePath"] = f"{stem}.png"
        path.with_name(f"{stem}.json").write_text(json.dumps(document))
        path.unlink()

    diagnosis, skips = read_votes(voted, tmp_path, rename)
    assert diagnosis is None and "may lack a vote" in skips[voted[1]]


def test_names_in_both_forms_of_unicode_are_one(voted, tmp_path):
    folder, name = voted
    copy = pathlib.Path(shutil.copytree(folder, tmp_path / "copy"))
    stem, _, view = name.rpartition("_")
    (copy / f"{stem}.dcm").rename(copy / "Mu\u0308ller.dcm")
    for path in copy.glob("r*/*.json"):
        path.with_name(f"M\u00fcller_{view}.json").write_text(
            path.read_text().replace(stem, "M\u00fcller")
        )
        path.unlink()
    originals, _ = source.read_source(copy)
    assert [e.diagnosis for e in originals] == ["metastasis"]


def test_a_row_that_cannot_be_used_takes_its_dicom_file_out(voted, tmp_path):
    """Its label is lost, and the outlines may say something else."""
    folder, name = voted
    copy = pathlib.Path(shutil.copytree(folder, tmp_path / "copy"))
    row = f"{name.rpartition('_')[0]}.dcm,,,hot spot"
    (copy / "images.csv").write_text(f"file,patient,view,label\n{row}\n")
    originals, skips = source.read_source(copy)
    assert originals == [] and "images.csv" in {skip.name for skip in skips}
    assert any("'hot spot'" in skip.reason for skip in skips if skip.name == name)


def test_every_file_that_nothing_reads_is_listed_and_kinds_are_told_in_one_line(
    voted, tmp_path
):
    copy = pathlib.Path(shutil.copytree(voted[0], tmp_path / "copy"))
    for path in ("a.pdf", "b/c.PDF", "settings.json", "r1/P\x1b.txt"):
        (copy / path).parent.mkdir(exist_ok=True)
        (copy / path).write_text('{"a": 1}')
    originals, skips = source.read_source(copy)
    assert len(originals) == 1
    assert [skip.name for skip in skips] == ["settings.json", "*.pdf", "*.txt"]
    assert skips[1].reason.startswith("2 files") and "a.pdf" in skips[1].reason
    assert skips[2].reason.endswith(r"r1/P\x1b.txt")


def test_outlines_of_one_majority_and_no_common_pixel_are_no_empty_mask(voted):
    """Abnormal for classification; what is to be segmented nobody knows."""
    (example,), _ = source.read_source(voted[0])
    apart = dataclasses.replace(example, labels=(), lesions=example.lesions * 0)
    normal = dataclasses.replace(apart, diagnosis="normal")
    kept, skips = leave_out_unmarked([example, apart, normal], [])
    assert kept == [example, normal]
    assert "no pixel on which most readers agree" in skips[0].reason


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


def test_the_fingerprint_is_of_the_pseudonym_key(hospital, monkeypatch):
    before = listing.fingerprint_folder(hospital)
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", "secret")
    assert listing.fingerprint_folder(hospital) != before


def test_the_fingerprint_is_of_names_and_contents_that_count(spoilt):
    before = listing.fingerprint_folder(spoilt)
    (spoilt / "notes.txt").write_text("not read by anyone")
    assert listing.fingerprint_folder(spoilt) == before
    file = dicom_file(spoilt, -1)
    file.rename(file.with_name("Z.dcm"))  # last as before, only the name differs
    assert listing.fingerprint_folder(spoilt) != before


def test_a_patient_is_one_in_all_files_and_is_read_again_as_such(spoilt):
    for stem in ("P0004_P", "P0006_P"):
        file = spoilt / "dicom" / f"{stem}.dcm"
        dataset = pydicom.dcmread(file)
        dataset.IssuerOfPatientID = "HOSPITAL"
        dataset.save_as(file)
    originals, _ = source.read_source(spoilt)
    of_file = {original.place.file.path.stem: original for original in originals}
    for stem in ("P0004", "P0006"):
        anterior, posterior = of_file[f"{stem}_A"], of_file[f"{stem}_P"]
        assert anterior.patient == posterior.patient
        assert source.read_again(posterior).example_id == posterior.example_id
    assert of_file["P0004_A"].patient != of_file["P0006_A"].patient


def test_files_that_contradict_each_other_about_a_patient_are_named(spoilt):
    file = spoilt / "dicom" / "P0004_P.dcm"
    dataset = pydicom.dcmread(file)
    dataset.PatientID = "P0006"
    dataset.save_as(file)
    with pytest.raises(PrepareError, match="P0004_A.dcm and .*P0004_P.dcm") as error:
        source.read_source(spoilt)
    assert "one patient for one Study Instance UID" in str(error.value)


MASK_XML = """<annotation><filename>{name}.png</filename><object><name>metastasis</name>
<segm><username>d</username><mask>{name}_mask_0.png</mask></segm></object>
<imagesize><nrows>1024</nrows><ncols>256</ncols></imagesize></annotation>"""


@pytest.mark.parametrize("place", [".", "Masks", "../../Masks/reader1"])
def test_the_fingerprint_is_of_masks_that_an_annotation_names(spoilt, place):
    reader, name = spoilt / "annotations" / "reader1", "P0002_A_anterior"
    (reader / f"{name}.xml").write_text(MASK_XML.format(name=name))
    mask = (reader / place).resolve() / f"{name}_mask_0.png"
    mask.parent.mkdir(parents=True, exist_ok=True)
    found = {listing.fingerprint_folder(spoilt)}
    for content in (b"one mask", b"another one"):
        mask.write_bytes(content)
        found.add(listing.fingerprint_folder(spoilt))
    assert len(found) == 3
    (mask.parent / "other.png").write_bytes(b"that nobody names")
    assert listing.fingerprint_folder(spoilt) in found


def test_the_fingerprint_is_of_what_a_link_leads_to(spoilt, tmp_path):
    file = sorted((spoilt / "annotations" / "reader1").glob("*.json"))[0]
    before = listing.fingerprint_folder(spoilt)
    elsewhere = file.rename(tmp_path / "elsewhere.json")
    file.symlink_to(elsewhere)
    assert listing.fingerprint_folder(spoilt) == before
    elsewhere.write_text(elsewhere.read_text() + " ")
    assert listing.fingerprint_folder(spoilt) != before


def test_the_fingerprint_is_of_what_can_be_read_and_what_cannot(spoilt, monkeypatch):
    before = listing.fingerprint_folder(spoilt)
    read = listing._hash
    monkeypatch.setattr(  # as where a file may not be read
        listing, "_hash", lambda x: "unreadable" if "P0002" in x.name else read(x)
    )
    assert listing.fingerprint_folder(spoilt) != before


def test_a_file_that_cannot_be_read_counts_as_such(spoilt):
    assert listing._hash(spoilt) == listing._hash(spoilt / "nowhere") == "unreadable"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "r9/{}.txt",
            "r9/{}.json.bak",
            ".r9/{}.json",
            "r9/.{}.json",
            "r9/{}_mask.png",
        ),
        "r9/{}.json/",
    ],
)
def test_a_file_that_may_be_a_lost_vote_counts_for_the_fingerprint(
    voted, tmp_path, name
):
    folder = tmp_path / "copy"
    shutil.copytree(voted[0], folder)
    before = listing.fingerprint_folder(folder)
    path = folder / name.format(voted[1])
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if name.endswith("/") else path.write_text("0")
    assert listing.fingerprint_folder(folder) != before
