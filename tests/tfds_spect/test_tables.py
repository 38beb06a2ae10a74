"""Tests of pictures and labels that images.csv lists, as a source of `tfds_spect`."""

import csv
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from spectjax.imaging.annotations.consensus import agree
from spectjax.imaging.annotations.files import find_annotations
from spectjax.imaging.diagnosis import DIAGNOSES
from spectjax.imaging.dicom.reading import find_bone_scans
from tfds_spect import image, listing, source
from tfds_spect.errors import PrepareError
from tfds_spect.prepare import prepare

VOC = """<annotation><filename>{file}</filename>
<size><width>{width}</width><height>{height}</height><depth>1</depth></size>
<object><name>metastasis</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>
<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object></annotation>
"""


@pytest.fixture(scope="module")
def originals(hospital):
    """What is read from the hospital's DICOM and LabelMe files."""
    return {e.place.name: e for e in source.read_source(hospital)[0]}


@pytest.fixture(scope="module")
def scans(hospital):
    return {scan.name: scan for scan in find_bone_scans([hospital])[0]}


@pytest.fixture
def pictures(hospital, originals, scans, tmp_path):
    """The same images as 16-bit PNG with the consensus of the readers as mask."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    annotations, _ = find_annotations([hospital])
    rows = []
    for name, example in originals.items():
        counts = scans[name].counts
        Image.fromarray(counts.astype(np.uint16)).save(folder / f"{name}.png")
        masks = agree(annotations[name], counts.shape).masks.any(axis=0)
        Image.fromarray(masks.astype(np.uint8) * 255).save(folder / f"{name}_mask.png")
        # A label of unstated kind, unless nothing is to be seen in the crop.
        label = "" if example.diagnosis == "normal" else "metastasis"
        rows.append(
            {
                "file": f"{name}.png",
                "patient": name.partition("_")[0],
                "view": scans[name].view,
                "label": label,
                "mask": f"{name}_mask.png",
                "boxes": "",
                "spacing_mm": scans[name].spacing_mm[0],
            }
        )
    write_table(folder, rows)
    return folder


def read_table(folder):
    with (folder / "images.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_table(folder, rows):
    with (folder / "images.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def with_lesions(originals):
    """The name of an image with a lesion in the thorax."""
    return min(name for name, e in originals.items() if e.labels)


def edit_row(folder, name, **cells):
    rows = read_table(folder)
    for row in rows:
        if row["file"] == f"{name}.png":
            row.update(cells)
    write_table(folder, rows)
    if cells.get("mask") == "":
        (folder / f"{name}_mask.png").unlink()


def row_of(folder, name):
    (row,) = [row for row in read_table(folder) if row["file"] == f"{name}.png"]
    return row


def read_by_name(folder):
    """Examples by the names that the images have in the hospital's folder."""
    examples, skips = source.read_source(folder)
    names = {
        e.example_id: e.place.name
        if e.place.file.row is None
        else e.place.file.path.stem
        for e in examples
    }
    return {names[e.example_id]: e for e in examples}, skips


def test_pictures_give_the_same_crops_and_lesions_as_their_dicom_files(
    pictures, originals
):
    found, skips = read_by_name(pictures)
    assert skips == []
    assert set(found) == set(originals)
    for name, example in found.items():
        np.testing.assert_array_equal(example.counts, originals[name].counts)
        np.testing.assert_array_equal(example.lesions > 0, originals[name].lesions > 0)
        assert example.mask_evidence == "mask picture"
        assert example.view == originals[name].view
        assert (example.diagnosis == "normal") == (
            originals[name].diagnosis == "normal"
        )
    together = {frozenset(p) for p in group_by_patient(found)}
    assert together == {frozenset(p) for p in group_by_patient(originals)}


def group_by_patient(examples):
    groups = {}
    for name, example in examples.items():
        groups.setdefault(example.patient, []).append(name)
    return groups.values()


def test_a_label_alone_is_enough_for_classification_and_not_for_segmentation(
    pictures, originals, tmp_path
):
    name = with_lesions(originals)
    edit_row(pictures, name, mask="", label="spinal metastasis")
    example = read_by_name(pictures)[0][name]
    assert (example.diagnosis, example.mask_evidence) == ("spinal metastasis", "none")
    assert not example.lesions.any()

    data_dir = tmp_path / "data"
    d1 = prepare("classification_d1", data_dir=data_dir, manual_dir=pictures)
    assert d1.n_skipped == 0
    assert d1.diagnoses["spinal metastasis"][0] >= 1
    builder = tfds.builder_from_directory(d1.builder_dir)
    split = "+".join(f"fold{fold}" for fold in range(5))
    examples = {e["source"].decode(): e for e in builder.as_data_source(split)}
    assert len(examples) == len(originals)
    written = examples[example.source]
    assert written["label"] == 1
    assert written["diagnosis"] == DIAGNOSES.index("spinal metastasis")
    evidence = builder.info.features["mask_evidence"].names
    assert evidence[written["mask_evidence"]] == "none"

    other = prepare("segmentation_originals", data_dir=data_dir, manual_dir=pictures)
    assert [skip.name for skip in other.skipped] == [f"{name}_{example.view}"]
    assert "spinal metastasis, without outlines" in other.skipped[0].reason


def test_a_normal_image_needs_no_outlines_for_segmentation(
    pictures, originals, tmp_path
):
    name = with_lesions(originals)
    edit_row(pictures, name, mask="", label="normal")
    found = prepare(
        "segmentation_originals", data_dir=tmp_path / "data", manual_dir=pictures
    )
    assert found.n_skipped == 0
    n_normal = sum(each.diagnosis == "normal" for each in originals.values())
    assert found.diagnoses["normal"] == (n_normal + 1, 0)


def test_boxes_are_filled(pictures, originals, scans):
    name = with_lesions(originals)
    height, width = scans[name].counts.shape
    top, left, bottom, right = originals[name].crop_box
    middle = {"y0": (top + bottom) // 2, "x0": (left + right) // 2}
    box = {**middle, "y1": middle["y0"] + 6, "x1": middle["x0"] + 9}
    text = VOC.format(file=f"{name}.png", width=width, height=height, **box)
    (pictures / f"{name}.xml").write_text(text)
    edit_row(pictures, name, mask="", boxes=f"{name}.xml")
    examples, skips = read_by_name(pictures)
    assert skips == []  # nor is the file taken for LabelMe's
    assert examples[name].mask_evidence == "boxes"
    (found,) = examples[name].boxes
    y0, x0, y1, x1 = found
    assert examples[name].lesions.sum() == (y1 - y0) * (x1 - x0)
    assert abs((y1 - y0) - 6) <= 1 and abs((x1 - x0) - 9) <= 1


def test_the_thorax_is_normal_if_all_lesions_lie_elsewhere(pictures, originals):
    name = with_lesions(originals)
    blank = np.zeros(originals[name].frame_hw, np.uint8)
    blank[3, 3] = 255  # above the head
    Image.fromarray(blank).save(pictures / f"{name}_mask.png")
    assert {"label": "metastasis"}.items() <= row_of(pictures, name).items()
    examples, skips = read_by_name(pictures)
    assert skips == []
    assert examples[name].diagnosis == "normal"


@pytest.mark.parametrize(
    ("outlined", "stated", "elsewhere", "expected"),
    [
        ("spinal metastasis", None, True, "spinal metastasis"),
        ("spinal metastasis", "metastasis", True, "spinal metastasis"),
        ("metastasis", "spinal metastasis", True, "spinal metastasis"),
        ("normal", "normal", False, "normal"),
        ("normal", "metastasis", True, "normal"),
    ],
)
def test_reconcile_takes_what_is_known_best(outlined, stated, elsewhere, expected):
    assert image.reconcile(outlined, stated, elsewhere=elsewhere) == expected


def test_a_label_that_contradicts_its_outlines_is_left_out_with_the_reason():
    with pytest.raises(image.UnusableImageError, match="'normal'.*'metastasis'"):
        image.reconcile("spinal metastasis", "normal", elsewhere=True)
    # Nobody outlined anything anywhere.
    with pytest.raises(image.UnusableImageError, match="'metastasis'.*'normal'"):
        image.reconcile("normal", "metastasis", elsewhere=False)


def test_a_row_without_its_file_is_left_out_with_the_reason(pictures, originals):
    name = with_lesions(originals)
    (pictures / f"{name}.png").unlink()
    examples, skips = read_by_name(pictures)
    assert set(examples) == set(originals) - {name}
    row, mask = skips
    assert "no such file" in row.reason
    assert mask.name == "*.png" and mask.reason.endswith(f"{name}_mask.png")


def test_a_dicom_file_that_is_listed_is_read_through_its_row(hospital, tmp_path):
    """Its label joins the outlines of its LabelMe files."""
    folder = tmp_path / "both"
    shutil.copytree(hospital, folder)
    before, _ = read_by_name(folder)
    name = with_lesions(before)
    example = before[name]
    kinds = {"spinal metastasis", "metastasis outside spine"} - {example.diagnosis}
    stated = min(kinds)
    assert example.place.file.row is None
    rows = [
        {
            "file": str(example.place.file.path.relative_to(folder)),
            "patient": "",
            "view": example.view,
            "label": stated,
        }
    ]
    write_table(folder, rows)
    after = {e.place.name: e for e in source.read_source(folder)[0]}
    assert after[name].diagnosis == stated
    assert after[name].mask_evidence == "outlines"
    assert after[name].source == example.source
    np.testing.assert_array_equal(after[name].lesions, example.lesions)
    others = set(after) - {name}
    assert all(after[n].diagnosis == before[n].diagnosis for n in others)


def test_the_fingerprint_is_of_tables_pictures_and_masks(pictures, originals):
    name = with_lesions(originals)
    seen = {listing.fingerprint_folder(pictures)}
    for change in (
        lambda: edit_row(pictures, name, label="spinal metastasis"),
        lambda: (pictures / "words.csv").write_text("word,label\nartefact,\n"),
        lambda: shutil.copy(pictures / f"{name}.png", pictures / f"{name}_mask.png"),
        lambda: edit_row(pictures, name, patient="someone else"),
    ):
        change()
        fingerprint = listing.fingerprint_folder(pictures)
        assert fingerprint not in seen
        seen.add(fingerprint)
    (pictures / "unlisted.png").write_bytes(b"of no interest")
    assert listing.fingerprint_folder(pictures) == fingerprint


def test_a_table_that_cannot_be_read_is_one_clear_error(pictures, tmp_path):
    (pictures / "images.csv").write_text("file,patient\n")
    with pytest.raises(PrepareError, match=r"images\.csv") as error:
        prepare("classification_d1", data_dir=tmp_path / "d", manual_dir=pictures)
    assert "\n" not in str(error.value)


def test_two_rows_of_one_image_that_contradict_each_other_are_both_left_out(
    pictures, originals
):
    name = with_lesions(originals)
    table = pictures / "images.csv"
    lines = table.read_text().splitlines()
    (row,) = (line for line in lines[1:] if line.startswith(f"{name}.png,"))
    cells = dict(zip(lines[0].split(","), row.split(","), strict=True))
    cells |= {"label": "normal", "mask": ""}
    other = ",".join(cells.values())
    table.write_text("\n".join([*lines, row]) + "\n")
    assert set(read_by_name(pictures)[0]) == set(originals)
    table.write_text("\n".join([*lines, other]) + "\n")
    examples, skips = read_by_name(pictures)
    assert set(examples) == set(originals) - {name}
    assert any("both are left out" in skip.reason for skip in skips)


def test_copies_of_one_image_with_two_labels_are_both_left_out(pictures, originals):
    name = with_lesions(originals)
    table = pictures / "images.csv"
    lines = table.read_text().splitlines()
    (row,) = (line for line in lines[1:] if line.startswith(f"{name}.png,"))
    cells = dict(zip(lines[0].split(","), row.split(","), strict=True))
    copy = name.replace("P", "Q", 1)
    shutil.copy(pictures / f"{name}.png", pictures / f"{copy}.png")
    cells |= {"file": f"{copy}.png", "label": "normal", "mask": ""}
    table.write_text("\n".join([*lines, ",".join(cells.values())]) + "\n")
    examples, skips = read_by_name(pictures)
    assert set(examples) == set(originals) - {name}
    told = {skip.name for skip in skips if "both are left out" in skip.reason}
    assert {each.rpartition("_")[0] for each in told} == {name, copy}
