"""Data sets of sheets: examinations with masks of their bones."""

import shutil

import numpy as np
import pytest

from spectjax.bones.regions import NAMES
from spectjax.bones.sheet import SHEET_HW, UNKNOWN, VIEWS, draw_mask, find_half
from spectjax.imaging.annotations.masks import encode_grey
from spectjax.input_pipeline import load_examples
from spectjax.system.workers import Workers
from tests.support.nm_files import detectors, write_nm
from tfds_spect.errors import PrepareError
from tfds_spect.opening import open_data_set
from tfds_spect.prepare import prepare
from tfds_spect.reading import open_split
from tfds_spect.sheets import read_sheets

HW = (256, 64)
RIBS = 1 + NAMES.index("left ribs")


def write_examination(folder, name, *, views=VIEWS, masks=VIEWS, **wanted):
    """Writes views of a body that differs from patient to patient, and its bones."""
    number = int(name[1:])
    look = wanted.get("look", number)
    counts = np.zeros(HW, np.uint16)
    counts[20 : 230 + look, 20:40] = 20 + look
    frames = [counts if view == "anterior" else counts[:, ::-1] for view in views]
    regions = np.zeros(HW, np.uint8)
    regions[50:90, 30:38] = RIBS  # the patient's left, from the front
    for view in masks:
        shown = regions if view == "anterior" else regions[:, ::-1]
        (folder / "bones" / f"{name}_{view}.png").write_bytes(encode_grey(shown))
    write_nm(
        folder / f"{name}.dcm",
        np.stack(frames),
        PatientID=wanted.get("patient", name),
        PatientName=f"{name}^X",
        StudyInstanceUID=f"1.2.826.0.1.3680043.10.7.{number + 1}",
        DetectorInformationSequence=detectors(*views),
    )


def write_classes(folder, *, without=None):
    rows = [f"{n},{name}" for n, name in enumerate(NAMES, 1) if name != without]
    (folder / "bones" / "classes.csv").write_text("\n".join(["label,name", *rows]))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Six patients: the fourth has one view, the fifth one mask, the sixth none."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "bones").mkdir()
    write_classes(folder)
    for number in range(3):
        write_examination(folder, f"P{number}")
    write_examination(folder, "P3", views=VIEWS[1:], masks=VIEWS[1:])
    write_examination(folder, "P4", masks=VIEWS[:1])
    write_examination(folder, "P5", masks=())
    write_examination(folder, "P6", patient="P0")  # another study of the first
    return folder


def read(folder):
    return read_sheets(folder, Workers(1))


def test_both_views_of_a_study_stand_on_one_sheet(source):
    examples, skips = read(source)
    by_name = {example.name: example for example in examples}
    assert sorted(by_name) == [
        *("P0_anterior", "P1_anterior", "P2_anterior"),
        *("P3_posterior", "P4_anterior", "P6_anterior"),
    ]
    assert by_name["P0_anterior"].patient == by_name["P6_anterior"].patient
    first = by_name["P0_anterior"]
    assert first.shown == "both" and first.image.shape == SHEET_HW
    # A bone lies on the same side of both halves, whose posterior one is mirrored.
    wide = [
        np.flatnonzero((find_half(first.mask, v) == RIBS).any(axis=0)) for v in VIEWS
    ]
    assert abs(wide[0].mean() - wide[1].mean()) < 2 and wide[0].mean() > 64
    alone = by_name["P3_posterior"]
    assert alone.shown == "posterior" and not find_half(alone.image, "anterior").any()
    assert (find_half(alone.mask, "anterior") == UNKNOWN).all()
    left_out = {skip.name: skip.reason for skip in skips}
    assert left_out == dict.fromkeys(
        ("P4_posterior", "P5_anterior", "P5_posterior"), "no mask of bones"
    )


def test_a_data_set_holds_the_sheets_in_folds_of_patients(source, tmp_path):
    prepared = prepare("skeleton", data_dir=tmp_path, manual_dir=source, processes=1)
    assert (prepared.n_patients, prepared.n_skipped) == (5, 3)
    examples, _ = read(source)
    found = {}
    for fold in range(5):
        loaded = load_examples(prepared.builder_dir, f"fold{fold}")
        assert len(set(loaded.patients)) == 1 and not loaded.synthetic
        found |= {
            name: (image[..., 0], mask, view)
            for name, image, mask, view in zip(
                loaded.example_ids,
                loaded.images,
                loaded.masks,
                loaded.views,
                strict=True,
            )
        }
    for example in examples:
        image, mask, view = found.pop(example.example_id)
        assert np.array_equal(image, example.image) and view == example.shown
        assert np.array_equal(mask, example.mask)
    assert not found
    # What it takes to carry an answer back stands beside it.
    (stored,) = open_split(prepared.builder_dir, "fold0[:1]")
    window = dict(zip(VIEWS, map(tuple, stored["windows"].tolist()), strict=True))
    shown = {view: np.ones(HW, np.uint8) for view in VIEWS}
    drawn = draw_mask(shown, {v: w for v, w in window.items() if not np.isnan(w[0])})
    assert (drawn == 1).any()
    with pytest.raises(PrepareError, match="expected images with lesions, found"):
        open_data_set(prepared.builder_dir)


def test_another_mask_makes_another_data_set(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    asked = {"data_dir": tmp_path / "data", "manual_dir": copy, "processes": 1}
    first = prepare("skeleton", **asked)
    assert prepare("skeleton", **asked).fingerprint == first.fingerprint
    (copy / "bones" / "P1_anterior.png").write_bytes(
        encode_grey(np.zeros(HW, np.uint8))
    )
    with pytest.raises(PrepareError, match="was prepared from 'copy', not from"):
        prepare("skeleton", **asked)


def test_what_a_table_lacks_is_unknown_where_there_is_a_body(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    write_classes(copy, without="skull")
    example = read(copy)[0][0]
    half, grey = (find_half(x, "posterior") for x in (example.mask, example.image))
    assert (half == RIBS).any() and not (half[grey > 32] == 0).any()
    assert (half[grey == 0] == 0).all()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: shutil.rmtree(f / "bones"), "classes.csv"),
        (lambda f: (f / "bones/P1_anterior.png").write_bytes(b"PNG"), "that opens"),
        (
            lambda f: (f / "bones/P9_anterior.png").write_bytes(
                encode_grey(np.zeros(HW, np.uint8))
            ),
            "a mask of bones that no image uses",
        ),
        (lambda f: shutil.copy(f / "P1.dcm", f / "P7.dcm"), "no mask of bones"),
    ],
)
def test_what_cannot_be_used_is_told(source, tmp_path, spoil, reason):
    copy = shutil.copytree(source, tmp_path / "copy")
    spoil(copy)
    try:
        _, skips = read(copy)
    except PrepareError as error:
        assert reason in str(error)
    else:
        assert any(reason in skip.reason for skip in skips), skips


def test_one_examination_under_two_patients_is_refused(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    write_examination(copy, "P8", look=1)
    asked = {"data_dir": tmp_path / "data", "manual_dir": copy, "processes": 1}
    with pytest.raises(PrepareError, match="expected two examinations of two patients"):
        prepare("skeleton", **asked)
