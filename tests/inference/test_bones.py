"""`predict --bones`, with a model and a finder of bones whose answers are known."""

import csv
from pathlib import Path

import numpy as np
import pytest

from spectjax.bones.regions import NAMES
from spectjax.imaging.canvas import FRAME_HW
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import ScanError
from spectjax.inference import asking, bones, skeleton
from spectjax.inference.bone_tables import BoneTables
from spectjax.inference.trained import TrainedModel
from spectjax.pages.folder import PageFolder
from spectjax.pages.index import read_row
from spectjax.predict import run
from spectjax.system.messages import UserError
from spectjax.tasks.views import Finding, SeenView
from tests.support.bone_maps import SOURCE, TABLE, BonesByHand, draw_tiny_bones
from tests.support.nm_files import BOTH, write_nm
from tests.support.nm_files import FRAMES as NM_FRAMES
from tests.support.page_files import Page, unpack
from tests.support.tiny_scans import (
    MODEL_INFO,
    SMALL_CROP,
    ask,
    crop_stub,
    make_run,
    make_scan,
    predict_probs,
    read_json,
)

pytestmark = SMALL_CROP
FLAT = np.full((12, 6), 1e4, np.float32)  # 0.72 million counts
MODEL = TrainedModel(predict_probs, MODEL_INFO, "segmentation", (8, 8))
# 2 of 4 pixels of the left ribs, of 2.2 %, and 1 of 4 of the sternum, of 0.3 %.
PERCENT = 2.2 / 2 + 0.3 / 4


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """A repeatability that no version changes; and no picture is drawn, which costs."""
    monkeypatch.setattr(Finding, "save_picture", lambda self, path: None)
    monkeypatch.setattr(bones, "read_repeatability", lambda extent: TABLE)


def make_pair(**changes):
    """Both views of an examination."""
    fields = {"counts": FLAT} | changes
    return [
        make_scan(view=view, image_key=key * 16, **fields)
        for view, key in (("anterior", "a"), ("posterior", "b"))
    ]


def predict(tmp_path, scans, finder=None, **options):
    """What came of each view, and the rows of both tables."""
    finder = finder or BonesByHand()
    tables = BoneTables(tmp_path)
    options = {"skeleton": finder, "products": [tables]} | options
    found = ask(MODEL, [scans], tmp_path, **options)
    said = {path.stem[4:]: read_json(path) for path in tmp_path.glob("*.json")}
    rows = [
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("bones.csv", "index.csv")
    ]
    return found, said, *rows


def list_codes(document):
    return [each["code"] for each in document["index"]["withheld"]]


def test_each_hotspot_has_its_bone_and_the_examination_its_index(tmp_path, capsys):
    found, said, rows, (index,) = predict(tmp_path, make_pair())
    assert found == (2, 0, 0)
    front, back = said["anterior"], said["posterior"]
    assert [each["bone"]["region"] for each in front["hotspots"]] == [
        "left ribs",
        "sternum",
    ]
    assert front["hotspots"][0]["bone"]["side"] == "left"
    assert front["bones"]["source"] == SOURCE
    assert front["bones"]["regions"]["left ribs"]["area_mm2"] == 4 * 5
    assert front["index"] == back["index"]
    assert front["index"]["percent"] == pytest.approx(PERCENT)
    assert front["index"]["name"] == "thoracic bone involvement (planar)"
    assert [row["region"] for row in rows] == ["left ribs", "sternum"] * 2
    assert [row["view"] for row in rows] == ["anterior"] * 2 + ["posterior"] * 2
    assert rows[0]["hotspot"] == "1" and rows[0]["share"] == "0.5"
    assert float(index["percent"]) == pytest.approx(PERCENT)
    assert float(index["left ribs"]) == pytest.approx(1.1)
    assert (index["skull"], index["withheld"], index["files"]) == ("", "", "IM1.dcm")
    line = "IM1.dcm: thoracic bone involvement (planar): 1.18 % of"
    assert line in capsys.readouterr().out


def test_a_withheld_index_leaves_no_number_in_any_file(tmp_path, capsys):
    _, said, rows, (index,) = predict(tmp_path, make_pair()[:1])
    assert list_codes(said["anterior"]) == ["missing_view"]
    assert said["anterior"]["index"]["percent"] is None
    reason = "No posterior view was read."
    assert index.pop("withheld") == reason
    known = {"examination", "files", "index", "masses"}
    assert {name for name, cell in index.items() if cell} == known
    assert f"(planar): withheld. {reason}\n" in capsys.readouterr().out
    assert len(rows) == 2  # bones are told all the same


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"notes": ("8-bit picture: grey values, not counts",)}, "no_counts"),
        ({"counts": FLAT / 2}, "few_counts"),
        ({"view_evidence": "WARNING: a file name"}, "view_in_doubt"),
    ],
)
def test_what_is_wrong_with_the_scans_reaches_the_index(tmp_path, changes, code):
    _, said, _, _ = predict(tmp_path, make_pair(**changes))
    assert list_codes(said["anterior"]) == [code] * 2


def test_what_an_enlarging_model_does_not_see_is_not_read():
    """Twice as large, 4x4 of the crop's 8x8 pixels fit into what the model takes."""
    probs = predict_probs(np.zeros((1, 8, 8, 1), np.float32))[0]
    views = [
        SeenView(scan.view, crop_stub()(scan), (8, 8), probs, zoom=2)
        for scan in make_pair()
    ]
    assert [view.seen.sum() for view in views] == [16, 16]
    findings = [(view, Finding({"warnings": []}, None, "")) for view in views]
    _, burden = bones.add_bones(findings, BonesByHand(), Problems(Path()))
    assert {reason.code for reason in burden.reasons} == {"region_not_read"}


def test_a_crop_in_doubt_and_a_region_in_doubt_reach_the_index(tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "crop_thorax", crop_stub(("no neck",)))
    flags = {"left ribs": "methods disagree", "skull": "no matter"}
    _, said, rows, _ = predict(tmp_path, make_pair(), BonesByHand(flags=flags))
    codes = ["crop_in_doubt"] * 2 + ["region_in_doubt"] * 2
    assert list_codes(said["anterior"]) == codes
    doubt = said["anterior"]["bones"]["regions"]["left ribs"]["in_doubt"]
    assert doubt == rows[0]["in_doubt"] == "methods disagree"


def test_a_thorax_alone_is_not_asked_about(tmp_path):
    finder = BonesByHand()
    _, said, rows, _ = predict(tmp_path, make_pair(region="thorax"), finder)
    assert finder.asked == []
    assert list_codes(said["anterior"]) == ["no_bones"] * 2
    assert said["anterior"]["hotspots"][0]["bone"] is None
    assert "found in whole bodies" in said["anterior"]["bones"]["not_found"]
    assert rows[0]["in_doubt"] == "no bones were found"


def test_a_model_that_sees_frames_has_an_index_of_the_whole_body(tmp_path):
    def mark(counts):
        return np.broadcast_to(np.float32([1, 0]), (1, *FRAME_HW, 2))

    model = TrainedModel(mark, MODEL_INFO, "segmentation", FRAME_HW)
    scans = make_pair(spacing_mm=(2.3, 2.3))
    ask(model, [scans], tmp_path, skeleton=BonesByHand())
    index = read_json(tmp_path / "IM1_anterior.json")["index"]
    assert index["name"] == "planar bone scan index"
    # Nobody sees a hip here, say; hands and feet may lie outside of a frame.
    (reason,) = index["withheld"]
    assert reason["code"] == "region_not_shown"
    assert "left hip bone" in reason["regions"]
    assert "left lower leg and foot" not in reason["regions"]


def test_of_two_views_of_a_kind_each_is_asked_about_alone(tmp_path):
    finder, scans = BonesByHand(), make_pair()
    predict(tmp_path, [*scans, make_scan("b/IM2.dcm", counts=FLAT)], finder)
    assert finder.asked == [["anterior"], ["posterior"], ["anterior"]]


def test_bones_that_nobody_finds_do_not_cost_the_hotspots(tmp_path, capsys):
    error = ScanError("a/IM1.dcm: no body can be made out.")
    found, said, _, _ = predict(tmp_path, make_pair(), BonesByHand(error=error))
    assert found == (2, 0, 0)
    assert said["posterior"]["bones"]["not_found"] == "no body can be made out"
    assert len(said["posterior"]["hotspots"]) == 2
    assert list_codes(said["posterior"]) == ["no_bones"] * 2
    found, said, _, _ = predict(tmp_path, make_pair(), BonesByHand(error=KeyError(1)))
    assert found == (2, 0, 1)
    assert "a bug" in said["posterior"]["bones"]["not_found"]


def test_bones_that_cannot_be_are_a_bug_and_cost_no_hotspot(tmp_path):
    """Of another size than the frame: a line tells, and nothing is said of bones."""
    finder = BonesByHand(np.zeros((3, 3), np.uint8))
    options = {"skeleton": finder, "products": [BoneTables(tmp_path)]}
    assert ask(MODEL, [make_pair()], tmp_path, **options) == (2, 0, 1)
    document = read_json(tmp_path / "IM1_anterior.json")
    assert len(document["hotspots"]) == 2 and "index" not in document
    assert not (tmp_path / "index.csv").exists()


def test_a_classifier_has_nothing_to_place(tmp_path):
    model = TrainedModel(predict_probs, MODEL_INFO, "classification", (8, 8))
    with pytest.raises(UserError, match="--bones: expected a model that marks"):
        ask(model, [make_pair()], tmp_path, skeleton=BonesByHand())


def test_a_page_has_the_regions_as_they_are(tmp_path):
    pages = PageFolder(tmp_path / "pages", Problems(tmp_path), [])
    predict(tmp_path, make_pair(), products=[pages, BoneTables(tmp_path)])
    path = tmp_path / "pages" / "IM1_anterior.html"
    for view in Page(path).read_data()["views"]:
        found = unpack(view["bones"]["map"])
        np.testing.assert_array_equal(found, draw_tiny_bones())
        assert view["bones"]["names"] == ["", *NAMES]
        assert view["document"] == read_json(tmp_path / f"{view['name']}.json")
    assert "thoracic bone involvement (planar): 1.18 %" in read_row(path).found


def test_the_flag_asks_for_bones_and_writes_the_tables(tmp_path, monkeypatch):
    finder = BonesByHand(np.zeros((64, 33), np.uint8))
    monkeypatch.setattr(skeleton, "load_skeleton", lambda: finder)
    workdir = make_run(tmp_path, monkeypatch, MODEL)
    scan, out = write_nm(tmp_path / "scan.dcm", NM_FRAMES, **BOTH), tmp_path / "out"
    run([scan], workdirs=[workdir], output_dir=out, bones=True)
    assert finder.asked == [["anterior", "posterior"]]
    rows = list(csv.DictReader((out / "bones.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(read_json(out / "scan_anterior.json")["hotspots"])
    assert (out / "index.csv").exists()
    run([scan], workdirs=[workdir], output_dir=tmp_path / "without")
    assert not list((tmp_path / "without").glob("*.csv"))


def test_without_bones_nothing_is_said_of_them(tmp_path):
    pages = PageFolder(tmp_path / "pages", Problems(tmp_path), [])
    ask(MODEL, [make_pair()], tmp_path, products=[pages])
    shown = Page(tmp_path / "pages" / "IM1_anterior.html").read_data()["views"]
    assert not any("bones" in view for view in shown)
    document = read_json(tmp_path / "IM1_anterior.json")
    assert not {"bones", "index"} & document.keys()
    assert "bone" not in document["hotspots"][0]
