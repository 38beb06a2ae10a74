"""`python -m spectjax.follow_up`, with a model and bones whose answers are known."""

import csv
import json

import numpy as np
import pydicom
import pytest

from spectjax.bones.found import FoundBones
from spectjax.follow_up import picture
from spectjax.imaging.problems import BUG_STATUS
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.inference import asking, skeleton
from spectjax.inference.trained import TrainedModel
from spectjax.report import picture_parts
from spectjax.system.messages import UserError
from tests.support.box_bones import BONES, draw_boxes, paint
from tests.support.flagged_commands import run_in_process
from tests.support.nm_files import detectors, write_nm
from tests.support.tiny_scans import MODEL_INFO

HW, PIXEL_MM = (144, 64), 4.0
SPINE, LARGE = (200, 132, 220, 148), (200, 128, 232, 152)
RIGHT, LEFT = (200, 80, 220, 100), (240, 172, 260, 192)
HOT, COLD = 2000, 100
FIRST = {"spots": (RIGHT, SPINE), "StudyDate": "20250101"}
SECOND = {"spots": (LEFT, LARGE), "StudyDate": "20250131"}


def write_study(folder, number, spots=(), views=("anterior",), cold=COLD, **elements):
    """A file of some views that all show the same spots, boxes in mm."""
    frame = np.full(HW, cold, np.uint16)
    for spot in spots:
        frame[paint(spot, HW, PIXEL_MM)] = HOT
    frame[0, 0] = number  # no two studies have the same pixels
    own = {
        "PatientID": "SECRET-1",
        "StudyInstanceUID": f"1.2.3.{number}",
        "SOPInstanceUID": f"1.2.4.{number}",
        "PixelSpacing": [PIXEL_MM, PIXEL_MM],
        "DetectorInformationSequence": detectors(*views),
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}.dcm"
    return write_nm(path, np.stack([frame] * len(views)), **(own | elements))


def mark_hot(counts):
    """The model: hotspots are what counts most."""
    hot = (counts[..., 0] >= HOT).astype(np.float32)
    return np.stack([1 - hot, hot], axis=-1)


def keep_all(scan):
    transform = CropTransform((0, 0, *HW), HW, HW)
    return ThoraxImage(scan.counts, scan, transform, None, (), None)


class Boxes:
    """The same bones in every view."""

    def find(self, scans):
        """The bones of each view."""
        found = FoundBones(draw_boxes(BONES, HW, PIXEL_MM), {}, "boxes")
        return dict.fromkeys(scans, found)


@pytest.fixture
def follow(tmp_path, monkeypatch, capsys):
    """Runs the command on what lies in BEFORE and AFTER; returns all that it leaves."""
    monkeypatch.setattr(asking, "crop_thorax", keep_all)
    monkeypatch.setattr(skeleton, "load_skeleton", Boxes)

    def run(*flags, drawn=False, task="segmentation"):
        if not drawn:
            monkeypatch.setattr(picture, "draw_follow_up", lambda follow_up: None)
            monkeypatch.setattr(picture_parts, "save_figure", lambda figure, path: None)
        out = tmp_path / "out"
        model = TrainedModel(mark_hot, MODEL_INFO, task, HW)
        run_in_process(
            "spectjax.follow_up.__main__",
            *(tmp_path / "before", tmp_path / "after"),
            f"--output_dir={out}",
            *flags,
            find_model=lambda **asked: lambda: model,
        )
        document = json.loads((out / "follow_up.json").read_text())
        rows = list(csv.DictReader((out / "follow_up.csv").read_text().splitlines()))
        return document, rows, capsys.readouterr().out

    return run


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "before", tmp_path / "after"


def list_kinds(document):
    return {
        (each["view"], each["region"]): each["kind"] for each in document["changes"]
    }


def test_new_gone_and_larger_stand_in_every_output_and_no_identifier_does(
    follow, folders, tmp_path
):
    both = {"views": ("anterior", "posterior")}
    write_study(folders[0], 1, **FIRST, **both)
    write_study(folders[1], 2, **SECOND, **both)
    document, rows, said = follow(drawn=True)
    expected = {"right ribs": "gone", "thoracic spine": "larger", "left ribs": "new"}
    assert list_kinds(document) == {
        (view, region): kind
        for view in ("anterior", "posterior")
        for region, kind in expected.items()
    }
    assert document["days_between"] == 30
    assert document["same_patient"] == rows[0]["same_patient"] == "Patient ID"
    assert document["kinds"] == {"gone": 2, "larger": 2, "new": 2}
    larger = next(row for row in rows if row["kind"] == "larger")
    # Pixels of 4 mm: 5 x 4 of them, then 8 x 6.
    assert float(larger["area_before_mm2"]) == 320
    assert float(larger["area_after_mm2"]) == 768
    assert float(larger["growth"]) == pytest.approx(2.4)
    assert "2: anterior, thoracic spine: larger, 320 mm² -> 768 mm² (x 2.40)" in said
    assert "30 days apart; one patient by Patient ID." in said
    assert "2 gone, 2 larger, 2 new" in said
    with (tmp_path / "out" / "follow_up.png").open("rb") as stream:
        assert stream.read(4) == b"\x89PNG"
    everything = json.dumps(document) + str(rows) + said
    assert not [w for w in ("SECRET", "Secret", "2025", "1.2.3") if w in everything]


def test_an_index_that_is_withheld_has_no_change(follow, folders):
    write_study(folders[0], 1, **FIRST)
    write_study(folders[1], 2, **SECOND)
    document, _, said = follow()
    index = document["index"]
    assert index["percent_before"] is index["beyond_repeated_scan"] is None
    assert "BEFORE: No posterior view was read." in index["withheld"]
    assert index["sentence"] in said and ": withheld. BEFORE: " in said


def test_a_view_that_one_study_lacks_cannot_be_told_of(follow, folders):
    write_study(folders[0], 1, **FIRST, views=("anterior", "posterior"))
    write_study(folders[1], 2, **SECOND)
    document, _, said = follow()
    posterior = [e for e in document["changes"] if e["view"] == "posterior"]
    assert {(e["kind"], e["why"]) for e in posterior} == {
        ("cannot tell", "the other study has no such view")
    }
    assert len(posterior) == 2
    assert "WARNING: No posterior view of AFTER was read." in said


def test_doubts_about_a_scan_are_told_with_the_rest(follow, folders):
    write_study(folders[0], 1, **FIRST)
    write_study(folders[1], 2, **SECOND, PixelSpacing=None)
    document, rows, said = follow()
    warning = "AFTER, anterior view: Warning: no usable Pixel Spacing."
    assert warning in document["warnings"] and warning in said
    assert rows[1]["area_after_mm2"] == "" and "-> size unknown (x " in said
    # By the bones, which are as large in both: 8 x 6 pixels over 5 x 4.
    assert float(rows[1]["growth"]) == pytest.approx(2.4)


def test_too_few_counts_say_nothing_of_what_is_gone(follow, folders):
    write_study(folders[0], 1, **FIRST)
    write_study(folders[1], 2, spots=(SPINE,), cold=1)
    document, _, _ = follow()
    assert set(list_kinds(document).values()) == {"cannot tell"}
    assert all("fewer than 500000" in each["why"] for each in document["changes"])


def test_studies_without_a_day_or_of_one_are_in_the_order_of_who_named_them(
    follow, folders
):
    for number, folder in enumerate(folders):
        write_study(folder, number, spots=(SPINE,))
    document, _, said = follow()
    assert document["days_between"] is None
    assert "WARNING: The files do not state the day of both studies" in said
    for number, folder in enumerate(folders):
        write_study(folder, number, spots=(SPINE,), StudyDate="20250101")
    document, _, said = follow()
    assert document["days_between"] == 0 and "Both studies are of one day" in said


def refuse(follow, text, *flags, **options):
    with pytest.raises(UserError, match=text) as error:
        follow(*flags, **options)
    assert "\n" not in str(error.value)


def test_an_earlier_study_is_not_after(follow, folders):
    write_study(folders[0], 1, **SECOND)
    write_study(folders[1], 2, **FIRST)
    refuse(follow, "found one that is 30 days earlier. Exchange the two")


@pytest.mark.parametrize(
    ("before", "after", "found", "noted"),
    [
        ({"PatientID": "A"}, {"PatientID": "B"}, "two patients", "name two patients"),
        ({"PatientID": ""}, {"PatientID": ""}, "nothing that tells", "do not tell"),
        ({"PatientID": "A"}, {"PatientID": ""}, "nothing that tells", "do not tell"),
    ],
)
def test_another_patient_is_refused_unless_a_person_knows_better(
    follow, folders, before, after, found, noted
):
    for number, (folder, own) in enumerate(zip(folders, (before, after), strict=True)):
        name = {"PatientName": ""}
        write_study(folder, number, spots=(SPINE,), **name, **own)
    refuse(follow, f"found {found}. If they are of one patient, say so: --same_patient")
    document, rows, said = follow("--same_patient")
    assert document["same_patient"] == rows[0]["same_patient"] == "a person's word"
    assert any(noted in warning for warning in document["warnings"])
    assert "one patient by a person's word" in said and noted in said


def test_a_study_is_not_compared_with_itself(follow, folders):
    write_study(folders[0], 1, **FIRST)
    write_study(folders[1], 2, **FIRST, StudyInstanceUID="1.2.3.1")
    refuse(follow, "expected another study than BEFORE, found the same study as in")
    write_study(folders[1], 2, **FIRST, SOPInstanceUID="1.2.4.1")
    refuse(follow, "expected another study than BEFORE, found the same image as in")


def test_a_folder_holds_one_examination_and_each_view_once(follow, folders):
    before, after = folders
    write_study(before, 1, **FIRST)
    after.mkdir()
    refuse(follow, "expected one examination as AFTER, found none. Name the files")
    write_study(after, 2, **SECOND)
    write_study(after, 3, **SECOND)
    refuse(follow, "expected one examination as AFTER, found 2: 2.dcm; 3.dcm. Name")
    write_study(after, 3, **SECOND, StudyInstanceUID="1.2.3.2")
    refuse(follow, r"each view once in AFTER, found 2 anterior views \(2.dcm, 3.dcm\)")


def test_a_classifier_has_no_hotspots_to_follow(follow, folders, tmp_path):
    write_study(folders[0], 1, **FIRST)
    write_study(folders[1], 2, **SECOND)
    refuse(
        follow,
        "a model that marks hotspots, found one for classi",
        task="classification",
    )
    assert not (tmp_path / "out" / "follow_up.json").exists()


def test_a_bug_where_bones_are_found_ends_the_command_as_one(
    follow, folders, tmp_path, monkeypatch
):
    write_study(folders[0], 1, **FIRST)
    write_study(folders[1], 2, **SECOND)
    monkeypatch.setattr(Boxes, "find", lambda self, scans: 1 / 0)
    with pytest.raises(SystemExit) as ended:
        follow()
    assert ended.value.code == BUG_STATUS
    assert "ZeroDivisionError" in (tmp_path / "out" / "problems.log").read_text()


def test_two_paths_are_named(tmp_path):
    with pytest.raises(UserError, match="BEFORE and AFTER, found 1"):
        run_in_process(
            "spectjax.follow_up.__main__", tmp_path, f"--output_dir={tmp_path / 'o'}"
        )


def test_a_day_that_is_none_leaves_the_scan_readable(follow, folders):
    path = write_study(folders[0], 1, **FIRST)
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(path)
        dataset.StudyDate = "soon"
        dataset.save_as(path)
    write_study(folders[1], 2, **SECOND)
    assert follow()[0]["days_between"] is None
