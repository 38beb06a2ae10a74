"""Tests of `spectjax.imaging.deidentify`: outlines, names of files, the report."""

import csv
import json

import numpy as np
import pytest

from spectjax.imaging.annotations.labelme import read_annotation
from spectjax.imaging.deidentify import folder as folder_module
from spectjax.imaging.deidentify.attributes import NOT_LISTED
from spectjax.imaging.deidentify.folder import (
    deidentify_folder,
    open_target,
)
from spectjax.imaging.deidentify.image import RefusedError
from spectjax.imaging.deidentify.profile import read_profile
from spectjax.imaging.diagnosis import SITE_WORDS
from spectjax.system.files import write_file
from tests.support.deidentified import (
    FRAMES,
    KEY,
    OPPOSITE,
    deidentify,
    files_in,
    only_output,
)
from tests.support.nm_files import write_nm


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", KEY)


def outline(**changes):
    """An outline of the image in.dcm, anterior, that may go out."""
    shape = {"label": "metastasis", "points": [[2, 2], [9, 2], [9, 8]]} | changes
    size = {"imageHeight": 40, "imageWidth": 20}
    return {"imagePath": "a_anterior.png", "shapes": [shape], **size}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (outline(label="\u043cetastasis"), "--word"),  # a Cyrillic letter
        (outline(label="meta\u200bstasis"), "--word"),
        (outline(label="metastasis Smith"), "--word"),
        (
            outline(points=[[2, 2], [17031941, 2], [9, 8]])
            | {"imageHeight": None, "imageWidth": None},
            "",
        ),
        (outline() | {"imageHeight": 41}, ""),
    ],
)
def test_an_outline_that_says_more_than_a_place_stays_behind(
    tmp_path, document, reason
):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.dcm"
    write_nm(path, FRAMES, DetectorInformationSequence=OPPOSITE)
    path.with_name("a_anterior.json").write_text(json.dumps(document))
    _, entry = deidentify(tmp_path / "in", tmp_path / "out")
    assert (entry.kind, entry.action) == ("annotation", "refused")
    assert entry.reason and reason in entry.reason
    assert not (tmp_path / "out" / "annotations").exists()


def test_an_outline_that_leaves_no_pixel_stays_behind_and_is_listed(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.dcm"
    write_nm(path, FRAMES, DetectorInformationSequence=OPPOSITE)
    thin = outline(points=[[2, 2], [9, 2], [9, 2.1]])
    path.with_name("a_anterior.json").write_text(json.dumps(thin))
    _, entry = deidentify(tmp_path / "in", tmp_path / "out")
    assert (entry.kind, entry.action) == ("annotation", "refused") and entry.reason


def test_the_corners_of_an_outline_have_no_digits_to_spare(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.dcm"
    write_nm(path, FRAMES, DetectorInformationSequence=OPPOSITE)
    points = [[2.19410317, 2], [9.7654321, 2.5499999], [9.5544332, 8]]
    document = outline(points=points)
    path.with_name("a_anterior.json").write_text(json.dumps(document))
    _, entry = deidentify(tmp_path / "in", tmp_path / "out")
    (shape,) = json.loads((tmp_path / "out" / entry.file).read_text())["shapes"]
    assert shape["points"] == [[2.19, 2.0], [9.77, 2.55], [9.55, 8.0]]
    masks = [
        read_annotation(file).regions[0].fill((40, 20))
        for file in (entry.original, tmp_path / "out" / entry.file)
    ]
    assert masks[0].any() and np.array_equal(*masks)


def test_whatever_one_outline_raises_the_others_go_out(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.dcm"
    write_nm(path, FRAMES, DetectorInformationSequence=OPPOSITE)
    document = outline()
    for view in ("anterior", "posterior"):
        document["imagePath"] = f"a_{view}.png"
        path.with_name(f"a_{view}.json").write_text(json.dumps(document))
    encode = folder_module.encode_outlines

    def fail_once(annotation, *rest):
        if annotation.path.stem == "a_anterior":
            raise MemoryError("of Quastenflosser")
        return encode(annotation, *rest)

    monkeypatch.setattr(folder_module, "encode_outlines", fail_once)
    entries = deidentify(tmp_path / "in", tmp_path / "out")
    assert [entry.action for entry in entries] == ["written", "refused", "written"]
    assert "Quastenflosser" not in (tmp_path / "out-report/report.csv").read_text()
    assert "Quastenflosser" in entries[1].detail


def test_an_outline_of_either_copy_of_an_image_goes_out_once(tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        path = tmp_path / "in" / f"{name}.dcm"
        options = {"DetectorInformationSequence": OPPOSITE, "SOPInstanceUID": "1.2.3"}
        write_nm(path, FRAMES, **options)
        document = outline() | {"imagePath": f"{name}_anterior.png"}
        path.with_name(f"{name}_anterior.json").write_text(json.dumps(document))
    entries = deidentify(tmp_path / "in", tmp_path / "out")
    assert sorted(entry.action for entry in entries[:2]) == ["skipped", "written"]
    assert sorted(entry.action for entry in entries[2:]) == ["refused", "written"]
    assert "another of the same image" in " ".join(e.reason for e in entries)
    (tmp_path / "in" / "b_anterior.json").unlink()
    entries = deidentify(tmp_path / "in", tmp_path / "out")
    assert entries[2].action == "written"


def test_the_report_tells_how_much_was_emptied(tmp_path):
    (tmp_path / "in").mkdir()
    write_nm(
        tmp_path / "in" / "a.dcm",
        FRAMES,
        DetectorInformationSequence=OPPOSITE,
        Manufacturer="Quastenflosser & Sons",
        ManufacturerModelName="Symbia Intevo",
        BodyPartExamined="ELSEWHERE",
        SeriesNumber=12345,
    )
    deidentify(tmp_path / "in", tmp_path / "out")
    with (tmp_path / "out-report" / "attributes.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["action"] == NOT_LISTED]
    assert [(row["attribute"], row["count"]) for row in rows] == [
        ("BodyPartExamined", "1"),
        ("Manufacturer", "1"),
        ("SeriesNumber", "1"),
    ]
    _, dataset = only_output(tmp_path / "out")
    assert dataset.ManufacturerModelName == "SYMBIA INTEVO"


def test_odd_file_names_and_links_are_read_and_nowhere_told(tmp_path, capfd):
    (tmp_path / "in").mkdir()
    good = {"DetectorInformationSequence": OPPOSITE}
    write_nm(tmp_path / "in" / "a.dcm", FRAMES, **good)
    write_nm(tmp_path / "in" / "Quasten\x1b[8m\n.dcm", FRAMES, **good)
    (tmp_path / "in" / "Quasten.dcm").symlink_to(tmp_path / "in" / "Quasten.dcm")
    (tmp_path / "in" / "Quasten").symlink_to(tmp_path / "in")
    deidentify(tmp_path / "in", tmp_path / "out")
    assert "uasten" not in "".join(capfd.readouterr())
    outputs = {k: v for k, v in files_in(tmp_path).items() if not k.startswith("in/")}
    assert sum(name.endswith(".dcm") for name in outputs) == 2
    assert not any(b"uasten" in name.encode() + outputs[name] for name in outputs)


def test_the_order_of_files_and_rows_tells_nothing_of_their_names(
    tmp_path, monkeypatch
):
    (tmp_path / "in").mkdir()
    for name in "abcdef":
        path = tmp_path / "in" / f"{name}.dcm"
        write_nm(path, FRAMES, PatientID=name, DetectorInformationSequence=OPPOSITE)
        document = json.dumps(outline() | {"imagePath": f"{name}_anterior.png"})
        path.with_name(f"{name}_anterior.json").write_text(document)
    written = []

    def note(path, content):
        written.append(path)
        write_file(path, content)

    monkeypatch.setattr(folder_module, "write_file", note)
    options = {"view": None, "allow_burned_in": False, "words": frozenset(SITE_WORDS)}
    orders = []
    for number in range(2):
        monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", KEY + str(number))
        target = tmp_path / f"out{number}"
        entries = deidentify_folder(tmp_path / "in", target, read_profile(), **options)
        names = {target / entry.file: entry.original.stem[0] for entry in entries}
        for files in (names, [path for path in written if path in names]):
            for suffix in (".dcm", ".json"):
                found = [names[path] for path in files if path.suffix == suffix]
                orders.append("".join(found))
    assert all(sorted(order) == list("abcdef") for order in orders)
    assert "abcdef" not in orders and len(set(orders)) >= 4


def test_results_of_older_rules_are_not_mixed_with_new_ones(tmp_path):
    open_target(tmp_path)
    open_target(tmp_path)
    marker = tmp_path / "deidentified.json"
    mark = json.loads(marker.read_text())
    for change in ({"rules": "0123456789abcdef"}, {"rules": None}, {"profile": "2019"}):
        marker.write_text(json.dumps(mark | change))
        with pytest.raises(RefusedError, match="same key and rules"):
            open_target(tmp_path)
