"""Tests of a data set's fingerprint, and of data sets that are not as they were."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from spectjax.input_pipeline import load_examples
from tests.support.data_sets import MOVED, make_image, write_data_set
from tfds_spect import opening
from tfds_spect import tfds_spect_dataset_builder as builder_module
from tfds_spect.content import measure_content
from tfds_spect.errors import PrepareError
from tfds_spect.opening import list_files, open_data_set, read_content
from tfds_spect.prepare import check_prepared, prepare
from tfds_spect.reading import open_split
from tfds_spect.skips import Skip, read_skips, write_skips

BOX = (80, 80, 90, 90)
COUNTS = np.full((256, 256), 7, np.uint16)


def write(folder, *, second="p2", fold0=None, **changes):
    """A data set of two patients; `changes` are of the first one's image."""
    first = make_image("p1", counts=COUNTS, masks=[BOX]) | changes
    return write_data_set(
        folder, {"fold0": fold0 or [first], "fold1": [make_image(second, fold=1)]}
    )


def fingerprint(builder_dir):
    return read_content(open_data_set(builder_dir)).fingerprint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def prepared(hospital, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    return prepare("segmentation_originals", data_dir=data_dir, manual_dir=hospital)


@pytest.fixture
def copied(prepared, tmp_path):
    return pathlib.Path(shutil.copytree(prepared.builder_dir, tmp_path / "copied"))


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# What the fingerprint is of.


def test_the_fingerprint_is_of_the_examples_in_whatever_order(tiny, tmp_path):
    two = [make_image("p1"), make_image("p3")]
    ways = [write(tmp_path / str(i), fold0=two[::i]) for i in (1, -1)]
    assert fingerprint(ways[0]) == fingerprint(ways[1]) != fingerprint(tiny)


MORE = COUNTS.copy()
MORE[3, 5] += 1
MASK = np.zeros((256, 256), np.uint8)
MASK[80:90, 80:89] = 1


@pytest.mark.parametrize(
    "changes",
    [
        {"image": MORE[..., None]},
        {"label": "normal"},
        {"diagnosis": "spinal metastasis"},
        {"mask": MASK},
        {"instance_masks": MASK[None]},
        {"instance_boxes": np.array([[80, 80, 90, 89]], np.float32)},
        {"mask_evidence": "boxes"},
        {"view": "posterior"},
        {"spacing_mm": np.array((2.0, 2.4), np.float32)},
        {"spacing_mm": np.array((np.nan, np.nan), np.float32)},
        {"crop_box": np.array((100, 50, 230, 161), np.int32)},
        {"frame_hw": np.array((1024, 512), np.int32)},
        {"fold": 1},
        {"patient": "p9"},
        {"example_id": "other"},
        {"source": "0123456789abcdef"},
        {"copy": MOVED},
        {"synthetic": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_fingerprint_is_of_everything_that_an_example_holds(
    tiny, changes, tmp_path
):
    assert fingerprint(write(tmp_path, **changes)) != fingerprint(tiny)


def test_the_fingerprint_is_of_where_an_example_stands(tiny, tmp_path):
    first, second = (make_image(f"p{i + 1}", fold=i) for i in (0, 1))
    ways = [
        {"fold0": [first], "fold1": [second]},
        {"fold0": [second], "fold1": [first]},
    ]
    one, other = (write_data_set(tmp_path / str(i), x) for i, x in enumerate(ways))
    assert fingerprint(one) != fingerprint(other)


def test_a_prepared_data_set_states_what_reading_it_finds(prepared):
    builder = tfds.builder_from_directory(prepared.builder_dir)
    files = {s: list_files(builder, s, portable=True) for s in builder.info.splits}
    found = measure_content(files)
    stated = read_content(open_data_set(prepared.builder_dir))
    assert (found.fingerprint, found.splits) == (stated.fingerprint, stated.splits)
    assert prepared.fingerprint == stated.fingerprint
    assert set(stated.files) == {
        p.name for p in prepared.builder_dir.iterdir() if "record-" in p.name
    }


def test_an_older_data_set_has_the_fingerprint_of_its_content_too(copied, prepared):
    edit(copied / "metadata.json", content=None)
    assert check_prepared(copied).fingerprint == prepared.fingerprint
    split = "fold1+fold3"
    assert (
        load_examples(copied, split).fingerprint
        == load_examples(prepared.builder_dir, split).fingerprint
    )


def test_training_data_whose_labels_are_exchanged_are_other_data(tmp_path):
    found = []
    for i, kinds in enumerate([("normal", "metastasis"), ("metastasis", "normal")]):
        images = [
            make_image(f"p{k}") | {"label": kind, "diagnosis": "normal"}
            for k, kind in enumerate(kinds)
        ]
        found.append(load_examples(write(tmp_path / str(i), fold0=images), "fold0"))
    # Names, numbers and sizes are the same, and all that older checkpoints know.
    assert found[0].older_fingerprint == found[1].older_fingerprint
    assert found[0].fingerprint != found[1].fingerprint


def test_a_source_that_changes_while_it_is_read_makes_no_data_set(
    hospital, tmp_path, monkeypatch
):
    states = iter(["before", "after"])
    monkeypatch.setattr(
        builder_module, "fingerprint_folder", lambda *_, **__: next(states)
    )
    with pytest.raises(PrepareError, match="it changed while it was read"):
        prepare("segmentation_originals", data_dir=tmp_path, manual_dir=hospital)
    assert not list((tmp_path / "tfds_spect").glob("segmentation_originals/2.0.0"))


# Data sets that are not as they were written.


def read_file(folder):
    """A file of fold 2 that is read here."""
    return list_files(open_data_set(folder), "fold2")[0]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (pathlib.Path.unlink, "no such file"),
        (flip, "other contents than were written"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "other contents than were"),
        (
            lambda p: shutil.copy(p.with_name(p.name.replace("fold2", "fold1")), p),
            "other contents than were written",
        ),
    ],
    ids=["missing", "flipped", "cut", "exchanged"],
)
def test_a_damaged_or_missing_shard_is_one_line_that_names_it(copied, damage, found):
    path = read_file(copied)
    damage(path)
    for use in (check_prepared, lambda x: open_split(x, "fold2")):
        with pytest.raises(PrepareError, match=found) as error:
            use(copied)
        assert str(error.value).startswith(f"{path}: ")


def test_damage_of_an_older_data_set_is_one_line_too(copied, monkeypatch):
    edit(copied / "metadata.json", content=None)
    flip(read_file(copied))
    with pytest.raises(PrepareError, match=r"copied: expected example \d"):
        list(open_split(copied, "fold2"))
    monkeypatch.setattr(opening, "has_array_record", lambda: False)
    flip(read_file(copied))
    with pytest.raises(PrepareError, match=r"fold2\.tfrecord"):
        check_prepared(copied)


def test_where_tfrecords_are_read_they_are_what_is_checked(copied, monkeypatch):
    monkeypatch.setattr(opening, "has_array_record", lambda: False)
    flip(read_file(copied))
    with pytest.raises(PrepareError, match=r"fold2\.tfrecord.*other contents"):
        check_prepared(copied)


@pytest.mark.parametrize(
    "name", ["dataset_info.json", "features.json", "metadata.json"]
)
@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 50_000])
def test_damaged_words_about_a_data_set_are_one_line(copied, name, text):
    (copied / name).write_text(text)
    with pytest.raises(PrepareError, match=f"copied/({name}|dataset_info.json): "):
        check_prepared(copied)


@pytest.mark.parametrize(
    "change", [{"parts": 3}, {"content": {}}, {"diagnoses": {"a": "b"}}, {"leaking": 1}]
)
def test_metadata_of_another_kind_are_one_line(copied, change):
    edit(copied / "metadata.json", **change)
    with pytest.raises(PrepareError, match=r"metadata\.json: expected"):
        check_prepared(copied)


def test_a_fingerprint_that_is_not_that_of_the_splits_is_refused(copied):
    content = json.loads((copied / "metadata.json").read_text())["content"]
    content["fingerprint"] = "0" * 64
    edit(copied / "metadata.json", content=content)
    with pytest.raises(PrepareError, match="not that of the splits"):
        check_prepared(copied)


def test_metadata_without_what_is_printed_are_one_line(prepared, hospital, tmp_path):
    data_dir = shutil.copytree(prepared.builder_dir.parents[2], tmp_path / "data")
    folder = data_dir / prepared.builder_dir.relative_to(
        prepared.builder_dir.parents[2]
    )
    edit(folder / "metadata.json", parts=None)
    with pytest.raises(PrepareError, match=r"metadata\.json: .* found: none of parts"):
        prepare("segmentation_originals", data_dir=data_dir, manual_dir=hospital)


def test_a_data_set_without_array_records_is_read_from_tfrecords(copied, prepared):
    wanted = [e["example_id"] for e in open_split(copied, "fold0+fold1")]
    for path in copied.glob("*.array_record-*"):
        path.unlink()
    assert check_prepared(copied).fingerprint == prepared.fingerprint
    assert [e["example_id"] for e in open_split(copied, "fold0+fold1")] == wanted


def test_names_of_any_bytes_stand_in_the_table_of_what_was_left_out(tmp_path):
    path = tmp_path / "skipped.csv"
    write_skips(path, [Skip("caf\udce9.dcm", "a\nreason")])
    assert read_skips(path) == (Skip(r"caf\udce9.dcm", r"a\nreason"),)
    for damaged in (b"\xff\xfe", b"other\nx\n"):
        path.write_bytes(damaged)
        with pytest.raises(PrepareError, match=r"skipped\.csv: .*Remove this file"):
            read_skips(path)


@pytest.mark.parametrize("text", [None, "metastasis\nnormal\n", "normal\n", "\xff"])
def test_numbers_that_stand_for_other_words_are_refused(copied, text):
    path = copied / "label.labels.txt"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(
        PrepareError, match=r"(label\.labels\.txt|dataset_info\.json): "
    ):
        check_prepared(copied)
