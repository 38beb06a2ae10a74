"""Tests of the `tfds_spect` data set: prepared, read, reused, refused."""

import dataclasses
import errno
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pydicom
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_metadata

from spectjax.imaging.diagnosis import DIAGNOSES
from spectjax.system.locks import LockedError, hold
from tfds_spect import source, writers
from tfds_spect import tfds_spect_dataset_builder as builder_module
from tfds_spect.copies import draw_copies, move_example
from tfds_spect.errors import PrepareError
from tfds_spect.folds import deal_folds
from tfds_spect.prepare import choose_config, prepare
from tfds_spect.reading import DataSource, TFRecords, open_split
from tfds_spect.tfds_spect_dataset_builder import Builder

PATIENTS = 6
CONFIG = "segmentation_quick"  # four copies of each image


@pytest.fixture(scope="session")
def prepared(hospital, tmp_path_factory):
    return prepare(
        CONFIG, data_dir=str(tmp_path_factory.mktemp("data")), manual_dir=str(hospital)
    )


def test_readers_are_counted_and_compared(prepared):
    metadata = tfds.builder_from_directory(prepared.builder_dir).info.metadata
    n_images, readers = (
        sum(p.images for p in prepared.parts.values()),
        metadata["readers"],
    )
    # The phantom's three readers outline every image.
    assert readers["images_by_number"] == {"3": n_images}
    assert readers["n_compared"] == n_images
    assert 0 < readers["n_unanimous"] <= n_images
    assert 0.5 < readers["dice"] < 1 and 0 < readers["n_dice"] <= n_images


def prepare_in(tmp_path, manual_dir, config=CONFIG):
    return prepare(config, data_dir=str(tmp_path / "data"), manual_dir=str(manual_dir))


def dicom_file(folder, number=0):
    return sorted((folder / "dicom").iterdir())[number]


def annotations_of(folder, dicom):
    return sorted((folder / "annotations").glob(f"*/{dicom.stem}_*"))


def read_by_id(builder_dir, split):
    examples = tfds.builder_from_directory(builder_dir).as_data_source(split)
    return {example["example_id"].decode(): example for example in examples}


def reasons(skips, name):
    return [skip.reason for skip in skips if skip.name.startswith(name)]


# What is read is what was put in.


def test_examples_are_read_value_for_value(hospital, prepared):
    originals, _ = source.read_source(hospital)
    folds = deal_folds(originals)
    written = [(example, 0) for example in folds[0]]
    written += [
        (move_example(example, copy, number), 1)
        for example in folds[1]
        for number, copy in enumerate(draw_copies(example.example_id, 4))
    ]

    read = read_by_id(prepared.builder_dir, "fold0+fold1_augmented")
    assert set(read) == {example.example_id for example, _ in written}
    for example, fold in written:
        found = read[example.example_id]
        assert found["image"].dtype == np.uint16
        np.testing.assert_array_equal(found["image"][..., 0], example.counts)
        np.testing.assert_array_equal(found["mask"], example.lesions > 0)
        np.testing.assert_array_equal(found["instance_masks"], example.masks)
        np.testing.assert_array_equal(found["instance_boxes"], example.boxes)
        assert list(found["instance_labels"]) == [0] * len(example.labels)
        assert found["label"] == (example.diagnosis != "normal")
        assert found["diagnosis"] == DIAGNOSES.index(example.diagnosis)
        assert found["mask_evidence"] == 0
        assert found["patient"].decode() == example.patient
        assert found["view"] == ["anterior", "posterior"].index(example.view)
        np.testing.assert_array_equal(
            found["spacing_mm"], np.float32(example.spacing_mm)
        )
        assert found["crop_box"].tolist() == list(example.crop_box)
        assert found["frame_hw"].tolist() == [1024, 256]
        assert found["source"].decode() == example.source
        assert found["fold"] == fold
        assert found["synthetic"]
        assert found["copy"] == {
            "mirror": example.copy.mirror,
            "dx": example.copy.dx,
            "dy": example.copy.dy,
            "degrees": example.copy.degrees,
        }


def test_both_formats_hold_the_same_examples(prepared):
    builder = tfds.builder_from_directory(prepared.builder_dir)
    split = "fold0_augmented[50%:]+fold2"
    ours = DataSource(TFRecords(builder, split), builder.info.features, split)
    theirs = builder.as_data_source(split)
    assert len(ours) == len(theirs) > 2
    for one, other in zip(ours, theirs, strict=True):
        assert one["example_id"] == other["example_id"]
        np.testing.assert_array_equal(one["image"], other["image"])
        np.testing.assert_array_equal(one["instance_masks"], other["instance_masks"])
    ids = [example["example_id"] for example in ours.__getitems__([2, 0])]
    assert ids == [ours[2]["example_id"], ours[0]["example_id"]]


def test_open_split_needs_no_array_record(prepared, monkeypatch):
    with_it = open_split(prepared.builder_dir, "fold1")
    monkeypatch.setattr("tfds_spect.opening.has_array_record", lambda: False)
    without = open_split(prepared.builder_dir, "fold1")
    assert isinstance(without.records, TFRecords)
    assert without[0]["example_id"] == with_it[0]["example_id"]


@pytest.mark.parametrize("array_record", [True, False])
def test_open_split_decodes_the_features_that_are_named(
    prepared, monkeypatch, array_record
):
    split = "fold0+fold1+fold2"
    whole = open_split(prepared.builder_dir, split)
    monkeypatch.setattr("tfds_spect.opening.has_array_record", lambda: array_record)
    part = open_split(prepared.builder_dir, split, ["mask", "example_id"])
    part = pickle.loads(pickle.dumps(part))  # as a worker of Grain or PyTorch takes it
    assert len(part) == len(whole)
    for one, other in zip(part.__getitems__([2, 0]), (whole[2], whole[0]), strict=True):
        assert set(one) == {"mask", "example_id"}
        assert one["example_id"] == other["example_id"]
        np.testing.assert_array_equal(one["mask"], other["mask"])


def test_tfds_finds_the_data_set_by_its_name(prepared):
    data_dir = prepared.builder_dir.parents[2]
    found = tfds.data_source(
        f"tfds_spect/{CONFIG}", split="fold3", data_dir=data_dir, try_gcs=False
    )
    assert len(found) == prepared.parts["fold3"].images
    registered = tfds.builder(f"tfds_spect/{CONFIG}", data_dir=data_dir)
    assert isinstance(registered, Builder)
    assert len(registered.as_data_source("fold3")) == prepared.parts["fold3"].images


# No leak.


def test_no_patient_and_no_copy_of_theirs_is_on_both_sides(prepared):
    patients, sources = [], []
    for fold in range(5):
        originals = read_by_id(prepared.builder_dir, f"fold{fold}")
        copies = read_by_id(prepared.builder_dir, f"fold{fold}_augmented")
        assert len(copies) == 4 * len(originals)
        assert {e["source"] for e in copies.values()} == {
            e["source"] for e in originals.values()
        }
        patients.append({e["patient"] for e in [*originals.values(), *copies.values()]})
        sources += [e["source"] for e in originals.values()]
        assert prepared.parts[f"fold{fold}"].patients == len(patients[-1])
    assert len(set().union(*patients)) == sum(map(len, patients)) == PATIENTS
    assert len(set(sources)) == len(sources)


def test_the_files_name_neither_patients_nor_folders(prepared, hospital):
    names = [b"P0001", b"P0002", bytes(hospital), b"hospital/"]
    for path in prepared.builder_dir.iterdir():
        content = path.read_bytes()
        assert not [name for name in names if name in content], path


def test_originals_alone_have_no_splits_of_copies(hospital, prepared, tmp_path):
    alone = prepare_in(tmp_path, hospital, config="segmentation_originals")
    builder = tfds.builder_from_directory(alone.builder_dir)
    assert set(builder.info.splits) == {f"fold{fold}" for fold in range(5)}
    assert [fold.copies for fold in alone.parts.values()] == [0] * 5
    with_copies = [(fold.patients, fold.images) for fold in prepared.parts.values()]
    assert [
        (fold.patients, fold.images) for fold in alone.parts.values()
    ] == with_copies
    split = "fold0+fold3"
    assert set(read_by_id(alone.builder_dir, split)) == set(
        read_by_id(prepared.builder_dir, split)
    )


# The same bytes, the same folder.


def test_preparing_again_by_more_processes_gives_the_same_bytes(
    prepared, spoilt, tmp_path
):
    again = prepare(CONFIG, data_dir=tmp_path / "data", manual_dir=spoilt, processes=2)
    files = {path.name: path.read_bytes() for path in prepared.builder_dir.iterdir()}
    assert {p.name: p.read_bytes() for p in again.builder_dir.iterdir()} == files
    assert len([name for name in files if ".tfrecord-" in name]) == 10
    assert len([name for name in files if ".array_record-" in name]) == 10


def test_a_prepared_data_set_is_reused_unread(prepared, hospital, monkeypatch):
    monkeypatch.setattr(builder_module, "read_source", None)
    again = prepare(
        CONFIG,
        data_dir=str(prepared.builder_dir.parents[2]),
        manual_dir=str(hospital),
    )
    assert again.reused and not prepared.reused
    assert (again.parts, again.skipped) == (prepared.parts, prepared.skipped)
    assert again.synthetic


def test_what_is_reused_is_said_to_be_kept(prepared):
    again = dataclasses.replace(prepared, reused=True)
    assert "Found" in again.summarise() and "kept as they are" in again.summarise()
    assert "LEAKING" not in again.summarise()


def test_another_folder_is_refused_by_name(prepared, spoilt):
    dicom_file(spoilt).unlink()
    data_dir = prepared.builder_dir.parents[2]
    with pytest.raises(PrepareError, match=r"'hospital'.*spoilt.*--data_dir") as error:
        prepare(CONFIG, data_dir=str(data_dir), manual_dir=str(spoilt))
    assert "\n" not in str(error.value)


def test_a_folder_that_changed_is_refused(spoilt, tmp_path):
    prepare_in(tmp_path, spoilt)
    annotation = annotations_of(spoilt, dicom_file(spoilt))[0]
    annotation.write_text(annotation.read_text().replace("1", "2", 1))
    with pytest.raises(PrepareError, match="as it is now"):
        prepare_in(tmp_path, spoilt)


# One clear error; nothing half-written.


def test_an_empty_folder_is_one_clear_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PrepareError, match="an empty one"):
        prepare_in(tmp_path, tmp_path / "empty")
    with pytest.raises(PrepareError, match="found none"):
        prepare_in(tmp_path, tmp_path / "nowhere")


@pytest.mark.parametrize("uid", ["1.2.3", None])
def test_an_image_under_two_patients_is_one_clear_error(spoilt, tmp_path, uid):
    """A file copied under another Patient ID, with other UIDs or the same."""
    file = sorted((spoilt / "dicom").iterdir())[0]
    dataset = pydicom.dcmread(file)
    dataset.PatientID = "another"
    dataset.SOPInstanceUID = uid or dataset.SOPInstanceUID
    dataset.StudyInstanceUID = uid or dataset.StudyInstanceUID
    dataset.save_as(file.with_name("again.dcm"))
    for path in annotations_of(spoilt, file):
        text = path.read_text().replace(file.stem, "again")
        path.with_name(path.name.replace(file.stem, "again")).write_text(text)
    with pytest.raises(PrepareError, match="Patient ID") as error:
        prepare_in(tmp_path, spoilt)
    assert file.name in str(error.value) and "again.dcm" in str(error.value)
    assert "\n" not in str(error.value)
    folder = tmp_path / "data" / "tfds_spect" / CONFIG
    assert {path.name for path in folder.iterdir()} <= {"2.0.0_local"}


def test_data_sets_inside_of_their_source_are_refused(spoilt):
    with pytest.raises(PrepareError, match="outside of manual_dir"):
        prepare(CONFIG, data_dir=spoilt / "data", manual_dir=spoilt)


def test_too_few_patients_is_one_clear_error_that_says_what_was_left_out(
    spoilt, tmp_path
):
    shutil.rmtree(spoilt / "annotations")
    with pytest.raises(PrepareError, match=r"found 0 .*no annotation.*csv") as error:
        prepare_in(tmp_path, spoilt)
    assert "\n" not in str(error.value)
    table = pathlib.Path(str(error.value).split("listed in ")[1].rstrip("."))
    assert "no annotation" in table.read_text()


@pytest.mark.parametrize("file_format", [writers.TFRECORD, writers.ARRAY_RECORD])
def test_a_full_disk_leaves_nothing_that_looks_prepared(
    hospital, tmp_path, monkeypatch, file_format
):
    def write(self, record):
        raise OSError(errno.ENOSPC, "No space left on device", "shard")

    monkeypatch.setattr(writers._FILES[file_format], "write", write)
    with pytest.raises(PrepareError, match="No space left.*Make room") as error:
        prepare_in(tmp_path, hospital)
    assert "\n" not in str(error.value)
    config_dir = tmp_path / "data" / "tfds_spect" / CONFIG
    assert [path.name for path in config_dir.iterdir()] == ["2.0.0_local"]


def test_a_killed_preparation_is_cleared_away_and_done_anew(hospital, tmp_path):
    config_dir = tmp_path / "data" / "tfds_spect" / CONFIG
    unfinished = config_dir / "incomplete.ABCDEF_2.0.0"
    unfinished.mkdir(parents=True)
    (unfinished / "tfds_spect-fold0.tfrecord-00000-of-00001").write_bytes(b"half")
    assert not prepare_in(tmp_path, hospital).reused
    assert {p.name for p in config_dir.iterdir()} == {"2.0.0", "2.0.0_local"}


def test_a_folder_without_a_data_set_in_it_is_not_taken_for_one(hospital, tmp_path):
    (tmp_path / "data" / "tfds_spect" / CONFIG / "2.0.0").mkdir(parents=True)
    with pytest.raises(PrepareError, match="Remove"):
        prepare_in(tmp_path, hospital)


def test_one_process_at_a_time_prepares(hospital, tmp_path, monkeypatch):
    held = []

    def build(builder, *_):
        with pytest.raises(LockedError), hold(tmp_path / "data"):
            pass
        held.append(builder)
        raise PrepareError("enough")

    monkeypatch.setattr("tfds_spect.prepare.build", build)
    with pytest.raises(PrepareError, match="enough"):
        prepare_in(tmp_path, hospital)
    assert len(held) == 1


# Configs, metadata and the command.


@pytest.mark.parametrize(
    ("name", "manual_dir", "expected"),
    [
        ("segmentation", None, "segmentation_phantom"),
        ("segmentation_smoke", None, "segmentation_smoke_phantom"),
        ("segmentation_quick_phantom", None, "segmentation_quick_phantom"),
        ("segmentation", "folder", "segmentation"),
    ],
)
def test_choose_config_takes_the_phantom_without_a_folder(name, manual_dir, expected):
    assert choose_config(name, manual_dir) == expected


@pytest.mark.parametrize(
    ("name", "manual_dir"), [("segmentaton", None), ("segmentation_phantom", "folder")]
)
def test_choose_config_refuses_what_does_not_exist(name, manual_dir):
    with pytest.raises(PrepareError, match="segmentation_phantom"):
        choose_config(name, manual_dir)


def test_the_data_card_has_valid_tags_and_both_papers():
    metadata = Builder.get_metadata()
    assert metadata.tags and set(metadata.tags) <= set(dataset_metadata.valid_tags())
    assert metadata.citation.count("@article") == 2
    assert "fold0_augmented" in metadata.description


def test_the_command_ends_with_one_line_and_status_one_on_a_users_error(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "tfds_spect", "--manual_dir=nowhere"],
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
        env={"TFDS_DATA_DIR": str(tmp_path)},
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error: nowhere: expected a folder")
    assert run.stderr.count("\n") == 1


def test_the_summary_says_what_is_where(prepared):
    text = prepared.summarise()
    images = sum(fold.images for fold in prepared.parts.values())
    assert f"{images} images and {4 * images} copies of 6 SYNTHETIC patients" in text
    assert str(prepared.builder_dir) in text
