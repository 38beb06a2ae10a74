"""Tests of crops that a person decided about."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from spectjax.imaging.crop_decision import CropDecision, attach
from spectjax.imaging.dicom.reading import find_bone_scans
from spectjax.imaging.scan import ScanError
from spectjax.imaging.thorax import CropError, crop_thorax
from spectjax.imaging.thorax.evidence import save_evidence
from tests.support.dicom_edits import cut_feet, cut_feet_of
from tests.support.flagged_commands import run_in_process
from tests.support.tiny_scans import make_scan

ORIGIN = "crops.csv, row 7"


@pytest.fixture(scope="module")
def scan(hospital):
    return find_bone_scans([hospital])[0][0]


@pytest.fixture(scope="module")
def found(scan):
    return crop_thorax(scan)


@pytest.fixture(scope="module")
def doubtful(scan):
    """The same view with feet that the frame cuts, whose crop is flagged."""
    return dataclasses.replace(scan, counts=cut_feet(scan.counts))


@pytest.fixture(scope="module")
def blob(scan):
    """A hot spot and next to nothing else, in which no body is found."""
    counts = np.zeros_like(scan.counts)
    counts[200:240, 90:150] = 7
    counts[600, 20] = 1e4
    return dataclasses.replace(scan, counts=counts)


def decide(scan, **decision):
    decision = CropDecision(ORIGIN, **decision)
    return dataclasses.replace(scan, crop_decision=decision)


def test_a_given_box_is_cut_as_the_same_box_is_that_was_found(scan, found):
    given = crop_thorax(decide(scan, box=found.transform.box))
    np.testing.assert_array_equal(given.counts, found.counts)
    assert given.transform == found.transform
    assert (given.by_hand, given.flags) == ("box given by hand", ())
    document = given.to_json()
    assert document["decision"] == "box given by hand"
    assert document["landmarks"] is None
    assert given.doubts[0] == f"Note: crop box given by hand ({ORIGIN})."


def test_a_given_box_needs_no_body(blob):
    thorax = crop_thorax(decide(blob, box=(190, 80, 250, 160)))
    assert thorax.counts.sum() == 7 * 40 * 60


def test_pixels_stay_if_what_was_taken_for_the_body_lies_beside_the_box(scan):
    counts = np.zeros_like(scan.counts)
    counts[50:800, 10:60] = 9
    counts[200:300, 120:200] = 9
    blind = dataclasses.replace(scan, counts=counts)
    thorax = crop_thorax(decide(blind, box=(200, 120, 300, 200)))
    assert thorax.counts.sum() == 9 * 100 * 80


@pytest.mark.parametrize(
    "box", [(900, 60, 1030, 200), (100, 200, 200, 257), (0, 0, 3, 3), (9, 0, 300, 9)]
)
def test_a_box_that_cannot_be_is_one_line_that_names_file_and_row(scan, box):
    with pytest.raises(CropError) as caught:
        crop_thorax(decide(scan, box=box))
    text = str(caught.value)
    assert text.startswith(str(scan.path)) and ORIGIN in text and "\n" not in text
    assert f"1024x256 pixels, at most 256x256, found {box[0]} " in text
    assert ("without a count" in text) == (box == (0, 0, 3, 3))


def test_no_box_makes_pixels_square(scan, found):
    stretched = dataclasses.replace(scan, spacing_mm=(2.4, 1.2))
    with pytest.raises(CropError, match="square pixels, found pixels of 2.4x1.2 mm"):
        crop_thorax(decide(stretched, box=found.transform.box))


def test_an_accepted_crop_keeps_its_box_and_loses_its_flags(doubtful):
    flagged = crop_thorax(doubtful)
    assert flagged.flags
    for seen_box in (None, flagged.transform.box):
        accepted = crop_thorax(decide(doubtful, accepted=True, seen_box=seen_box))
        assert accepted.transform == flagged.transform
        assert (accepted.flags, accepted.overruled) == ((), flagged.flags)
        assert accepted.by_hand == "accepted by hand"
        assert flagged.flags[0] in accepted.doubts[0]


def test_the_box_that_a_person_saw_counts_and_not_that_of_other_rules(doubtful):
    seen = (470, 50, 620, 205)
    thorax = crop_thorax(decide(doubtful, accepted=True, seen_box=seen))
    now = " ".join(map(str, crop_thorax(doubtful).transform.box))
    assert thorax.transform.box == seen
    assert thorax.overruled == (f"the rules of now find the box {now}",)


def test_there_must_be_a_crop_to_accept(blob):
    with pytest.raises(CropError, match=f"{ORIGIN} a crop to accept, found none"):
        crop_thorax(decide(blob, accepted=True))
    seen = decide(blob, accepted=True, seen_box=(190, 80, 250, 160))
    assert crop_thorax(seen).by_hand == "accepted by hand"
    with pytest.raises(CropError, match="from head to feet"):
        crop_thorax(decide(blob, accepted=False))


def test_a_refused_crop_is_flagged_though_the_rules_are_content(scan, found):
    assert found.flags == ()
    refused = crop_thorax(decide(scan, accepted=False))
    assert refused.flags == (f"refused by hand ({ORIGIN})",)
    assert refused.by_hand == ""


def test_the_drawing_shows_a_given_box(scan, tmp_path):
    save_evidence(crop_thorax(decide(scan, box=(100, 60, 200, 180))), tmp_path / "a")
    assert (tmp_path / "a").read_bytes().startswith(b"\x89PNG")


def test_attach_finds_the_view():
    front, back = make_scan(), make_scan(view="posterior")
    one, two = (
        CropDecision("row 2", accepted=True),
        CropDecision("row 3", box=(1, 2, 3, 4)),
    )
    both = {"anterior": one, "posterior": two}
    decided = [scan.crop_decision for scan in attach([front, back], both)]
    assert decided == [one, two]
    assert attach([back], {None: one})[0].crop_decision == one
    assert attach([back], both, whole=False)[0].crop_decision == two
    assert attach([front], {})[0].crop_decision is None


@pytest.mark.parametrize(
    ("scans", "view", "found"),
    [
        ([make_scan()], "posterior", "found posterior"),
        ([make_scan(), make_scan(view="posterior")], None, "an empty cell"),
    ],
)
def test_attach_loses_no_decision(scans, view, found):
    with pytest.raises(ScanError, match=f"row 2 as view anterior.*{found}"):
        attach(scans, {view: CropDecision("row 2", accepted=True)})


def test_attach_refuses_two_decisions():
    scan = dataclasses.replace(
        make_scan(), crop_decision=CropDecision("row 2", accepted=True)
    )
    with pytest.raises(ScanError, match="found two, in row 2 and row 3"):
        attach([scan], {None: CropDecision("row 3", accepted=True)})


def test_the_command_writes_the_table_that_it_heeds(hospital, tmp_path, capsys):
    file = shutil.copy(min((hospital / "dicom").iterdir()), tmp_path)
    cut_feet_of(file)
    out = tmp_path / "out"

    def crop(*arguments):
        arguments = (f"--output_dir={out}", *arguments)
        run_in_process("spectjax.imaging.thorax.__main__", *arguments)
        (document,) = (json.loads(path.read_text()) for path in out.glob("*.json"))
        return document, capsys.readouterr().out

    document, text = crop(file)
    assert document["flags"] and document["decision"] is None
    table = out / "crops.csv"
    assert f"Crops to decide about: 1, drawn in {out / 'crops_001.png'}" in text
    assert f"name it with --crops={table}" in text
    box = " ".join(map(str, document["box"]))
    filled_in = table.read_text().replace(f",,,{box},", f",,yes,{box},")
    table.write_text(filled_in)
    document, text = crop(f"--crops={table}", file)
    assert document["decision"] == "accepted by hand"
    assert document["flags"] == [] and document["overruled_flags"]
    assert "Crops to decide about" not in text and table.read_text() == filled_in
