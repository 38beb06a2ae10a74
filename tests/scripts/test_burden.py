"""Tests of how an index is measured: statistics and losses by hand, and all of it."""

import csv
import json
import math
import pathlib

import numpy as np
import pytest

from scripts.burden import finders
from scripts.burden.bars import list_bars
from scripts.burden.examinations import (
    AGAIN,
    COUNTS,
    FIRST,
    LYING_AGAIN,
    TrueScan,
    count_photons,
    look,
    name_counts,
)
from scripts.burden.examinations import simulate as simulate_patient
from scripts.burden.losses import Lesion, describe_losses, weigh_pixels
from scripts.burden.statistics import (
    describe_agreement,
    describe_errors,
    describe_repeats,
)
from scripts.burden.summary import make_table
from spectjax.bones.found import FoundBones
from spectjax.bones.index import measure_index
from spectjax.bones.regions import NAMES, REGIONS
from spectjax.bones.repeatability import read_repeatability
from spectjax.imaging.diagnosis import METASTASIS
from spectjax.imaging.scan import BoneScan
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.phantom.again import scan_again
from spectjax.phantom.cases import find_case
from spectjax.phantom.subject import VIEWS
from spectjax.system.messages import UserError
from spectjax.tasks.views import Finding, MarkedHotspot, SeenView
from tests.support.flagged_commands import run_in_process

SKULL, FEMUR, RIBS = (
    NAMES.index(name) + 1 for name in ("skull", "left femur", "left ribs")
)
SCRIPT = "scripts.measure_burden"
BEGIN, END = "<!-- measured -->\n", "<!-- end of what was measured -->\n"


def test_agreement_by_hand():
    """Deviations -1, 0, 1 and -3, 1, 2: r = 5 / sqrt(2 x 14), slopes 5/2 and 33/14."""
    found = describe_agreement([1, 2, 3], [2, 6, 7], ["a", "b", "c"])
    assert found["n"] == 3
    assert found["r"] == pytest.approx(5 / math.sqrt(28))
    assert (found["slope"], found["intercept"]) == pytest.approx((2.5, 0))
    assert found["slope_origin"] == pytest.approx(35 / 14)
    assert found["bias"] == pytest.approx(3)
    assert found["low"] == pytest.approx(3 - 1.96 * math.sqrt(3))
    # 2 x 5/3 / (2/3 + 14/3 + 9)
    assert found["concordance"] == pytest.approx(10 / 3 / (43 / 3))


def test_an_index_that_is_not_known_is_in_no_agreement():
    found = describe_agreement([1, 2, 5, 3], [1, 2, math.nan, 3], list("abcd"))
    assert (found["n"], found["r"], found["slope"]) == pytest.approx((3, 1, 1))


def test_nothing_agrees_with_a_single_value():
    found = describe_agreement([2, 2], [1, 3], ["a", "b"])
    assert math.isnan(found["r"]) and math.isnan(found["slope"])
    assert found["slope_origin"] == 1


def test_repeats_by_hand():
    """Differences of 0.2 and -0.2 at levels 1.1 and 1.3; the third pair is high."""
    low, high = describe_repeats([1.0, 1.4, 9.0], [1.2, 1.2, 9.5])
    assert (low["group"], low["n"], low["level"]) == ("1", 2, pytest.approx(1.2))
    assert (low["lowest"], low["highest"]) == (1.0, 1.4)
    assert low["mean"] == pytest.approx(0)
    assert low["sd"] == pytest.approx(0.2 * math.sqrt(2))
    assert low["rms"] == pytest.approx(0.2)
    cv = 100 * 0.2 / math.sqrt(2) * (1 / 1.1 + 1 / 1.3) / 2
    assert low["cv"] == pytest.approx(cv)
    assert (high["group"], high["n"]) == ("10", 1)
    assert math.isnan(high["sd"])


def test_errors_have_a_sign_and_a_size():
    found = describe_errors([1, 1, math.nan], [2, 0, 5])
    assert (found["n"], found["mean"], found["mean_size"]) == (2, 0, 1)
    assert found["sd"] == pytest.approx(math.sqrt(2))


@pytest.fixture
def regions():
    """A skull in both views, and a femur that one of them hardly shows."""
    front, back = np.zeros((2, 6, 10), np.uint8)
    front[0, :4], front[2:, :5] = SKULL, FEMUR
    back[0, :8], back[2, :2] = SKULL, FEMUR
    return {"anterior": front, "posterior": back}


def test_the_weights_of_marked_pixels_add_up_to_the_index(regions):
    marked = {v: np.random.default_rng(3).random((6, 10)) < 0.4 for v in regions}
    weights = weigh_pixels(regions)
    total = sum(float(weights[view][marked[view]].sum()) for view in regions)
    assert total == pytest.approx(measure_index(regions, marked).percent)
    skulls = weigh_pixels(regions, ["skull"])
    total = sum(float(skulls[view][marked[view]].sum()) for view in regions)
    assert total == pytest.approx(measure_index(regions, marked, ["skull"]).percent)
    assert not weights["posterior"][regions["posterior"] == FEMUR].any()


def box(y0, x0, y1, x1):
    mask = np.zeros((6, 10), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_losses_by_hand(regions):
    """A pixel of the front's femur is worth 17.8 / 2 / 20; on the skull are none."""
    pixel = 17.8 / 2 / 20
    lesions = [
        Lesion(box(2, 0, 4, 2), "left femur", 3.0),  # four pixels, two are marked
        Lesion(box(3, 0, 4, 2), "left femur", 2.0),  # lies over two of them, missed
        Lesion(box(5, 0, 6, 3), "left femur", 1.2),  # three pixels, missed
    ]
    # Two of a lesion, two beside it, and one elsewhere.
    marked = box(2, 0, 3, 4) | box(4, 4, 5, 5)
    found = describe_losses(
        weigh_pixels(regions),
        {"anterior": lesions, "posterior": []},
        {"anterior": marked, "posterior": box(0, 0, 0, 0)},
    )
    parts = {key: value / pixel for key, value in found.items() if key in SUMS}
    assert parts == pytest.approx(
        {"true": 7, "found": 5, "missed": 3, "too_small": 2, "too_large": 2, "false": 1}
    )
    assert found["false_regions"] == {"anterior": 1, "posterior": 0}
    rows = found["lesions"]
    assert [row["hit"] for row in rows] == [True, False, False]
    assert [row["burden"] / pixel for row in rows] == pytest.approx([3, 1, 3])
    assert [row["lost"] / pixel for row in rows] == pytest.approx([1, 1, 3])


SUMS = ("true", "found", "missed", "too_small", "too_large", "false")


@pytest.fixture(scope="module")
def exam():
    seed = np.random.SeedSequence(5)
    return find_case(seed, METASTASIS, VIEWS, whole=True).examination


def test_a_scan_has_its_truth(exam):
    patient, scan = exam.patient, look(exam, FIRST)
    views = patient.views
    assert scan.scans["posterior"].counts.sum() == views["posterior"].counts.sum()
    assert scan.scans["anterior"].spacing_mm == (patient.spacing_mm,) * 2
    for view, marked in scan.hotspots.items():
        assert np.array_equal(marked, views[view].lesion_masks.any(axis=0))
        assert all(lesion.contrast > 1 for lesion in scan.lesions[view])
    assert 0 < scan.volume["thorax"] <= scan.volume["whole body"]
    assert scan.volume["whole body"] == patient.burden.measure_index()


def test_the_view_of_fewer_counts_gets_those_that_are_wanted(exam):
    scan = scan_again(exam, 1, counts=300_000 / count_photons(exam))
    counts = [float(view.counts.sum()) for view in scan.patient.views.values()]
    assert min(counts) == pytest.approx(300_000, rel=0.01)


def test_readers_are_asked_about_the_first_scan():
    scan = next(simulate_patient("burden", 3, 2101, repeats=True))
    for view, marked in scan.hotspots.items():
        # Most of what they outline is metastasis, some of it lies between two.
        assert marked[scan.outlined[view]].mean() > 0.6
    assert scan.volume["whole body"] == pytest.approx(1.06, abs=0.05)


def make_record(number, pairs):
    scans = {
        name: {"name": name, "indices": {"whole/bones": {"whole body": {"percent": x}}}}
        for counts in COUNTS
        for name, x in zip(
            (name_counts(counts, FIRST), name_counts(counts, AGAIN)), pairs, strict=True
        )
    }
    return {"group": "burden", "number": number, "scans": scans}


def test_the_table_holds_what_was_measured_and_no_certainty_of_nothing(tmp_path):
    """Of nothing, of level 1.1, differences 0.1 and -0.3, and too few of level 3."""
    pairs = [(0, 0), (0, 0), (1.0, 1.1), (1.3, 1.0)] * 3 + [(3.0, 3.1)] * 4
    records = [make_record(n, pair) for n, pair in enumerate(pairs, 1)]
    file = tmp_path / "table.json"
    measured = {"synthetic": "yes"}
    file.write_text(json.dumps(make_table(records, measured)))
    table = read_repeatability("whole body", file)
    assert [curve.counts for curve in table.curves] == list(COUNTS)
    sd = math.sqrt((0.1**2 + 0.3**2) / 2)
    assert table.find_sd(0.0, [COUNTS[0]]) == pytest.approx(sd, abs=1e-4)
    assert table.find_sd(1.31, [COUNTS[0]]) is None
    assert read_repeatability("thorax", file).curves == ()


def make_document(r, slope, sd, n, false):
    row = {"extent": "whole body", "found": "whole/bones"}
    row |= {"r": r, "slope_origin": slope, "slope": 9.0, "sd": sd, "n": n}
    repeat = {"what": "lying down again", "group": "3"}
    return {
        "agreement": [
            row | {"truth": "volume", "r": 0.1},
            row | {"truth": "true/true"},
            row | {"truth": "true/true", "extent": "thorax", "r": 0.1},
        ],
        "repeats": [row | repeat, row | repeat | {"what": "new noise", "sd": 0.0}],
        "false": {"whole": {"per_body": false, "n": 4}},
    }


def test_goals_are_reached_missed_or_not_measured():
    good = list_bars(make_document(0.95, 0.9, 0.15, 5, 0.3))
    assert [bar.met for bar in good] == [None, True, None, None, True, True]
    assert [bar.found for bar in good][::4] == ["–", "0.150, n = 5"]
    bad = list_bars(make_document(0.949, 1.0, 0.151, 9, 0.31))
    assert [bar.met for bar in bad] == [None, False, None, None, False, False]
    steep = list_bars(make_document(0.99, 1.11, 0.0, 4, 0.0))
    assert [bar.met for bar in steep] == [None, False, None, None, None, True]
    nothing = list_bars({"agreement": [], "repeats": [], "false": {}})
    assert {bar.met for bar in nothing} == {None}


def simulate(group, number, seed, *, repeats):
    """Scans of a patient who is a skull, ribs and a femur, drawn at once."""
    regions = np.zeros((12, 10), np.uint8)
    regions[0], regions[2:4, :5], regions[6:] = SKULL, RIBS, FEMUR
    mask = np.zeros((12, 10), bool)
    mask[6 : 6 + number, :2] = group != "normal"
    lesions = [Lesion(mask, "left femur", 2.5)] if mask.any() else []
    rng = np.random.default_rng([seed, number])
    pairs = [name_counts(counts, w) for counts in COUNTS for w in (FIRST, AGAIN)]
    for name in [FIRST, "new noise", LYING_AGAIN, *pairs] if repeats else [FIRST]:
        counts = rng.poisson(9, mask.shape).astype(np.float32)
        yield TrueScan(
            name=name,
            scans={view: make_scan(view, counts) for view in ("anterior", "posterior")},
            regions=dict.fromkeys(("anterior", "posterior"), regions),
            lesions=dict.fromkeys(("anterior", "posterior"), lesions),
            outlined=dict.fromkeys(("anterior", "posterior"), mask),
            volume={"whole body": number * 0.3, "thorax": 0.0},
        )


def make_scan(view, counts):
    return BoneScan(
        counts, view, "", (2.0, 2.0), pathlib.Path("x"), 0, "k", "Patient ID", "i", True
    )


def cut(scan, transform):
    return ThoraxImage(scan.counts, scan, transform, None, (), None)


def find_bright(scans):
    marked = {view: scan.counts > 12 for view, scan in scans.items()}
    transform = CropTransform((0, 0, 12, 10), (12, 10), (12, 10))
    seen = [
        (
            SeenView(view, cut(scan, transform), (12, 10), 0),
            Finding({"warnings": []}, None, "", (MarkedHotspot({}, marked[view]),)),
        )
        for view, scan in scans.items()
    ]
    return marked, seen


def find_skull_alone(scans):
    flags = {"left femur": "it is none"}
    return {
        view: FoundBones(np.full(scan.counts.shape, SKULL, np.uint8), flags, "fake")
        for view, scan in scans.items()
    }


@pytest.fixture
def fakes(monkeypatch):
    fakes = {"bones": lambda: find_skull_alone, "crop": lambda: find_bright}
    fakes["whole"] = lambda: find_bright
    for name, load in fakes.items():
        monkeypatch.setitem(finders.LOADERS, name, load)
    finders.load.cache_clear()
    yield
    finders.load.cache_clear()


def run(folder, *arguments, **changes):
    options = ["--patients=3", "--normal=2", "--repeated=2", "--repeated_normal=1"]
    run_in_process(
        SCRIPT,
        f"--output_dir={folder}",
        "--processes=1",
        *options,
        *arguments,
        simulate=simulate,
        **changes,
    )


@pytest.mark.usefixtures("fakes")
def test_all_tables_of_a_few_patients(tmp_path):
    page, shipped = tmp_path / "docs" / "page.md", tmp_path / "repeatability.json"
    page.parent.mkdir()
    page.write_text(f"before\n{BEGIN}\nold\n{END}after\n")
    run(tmp_path / "out", "--ship", PAGE=page, FILE=shipped)
    told, tmp_path = page.read_text(), tmp_path / "out"
    assert told.startswith(f"before\n{BEGIN}\nSIMULATED") and "old" not in told
    assert told.endswith(f"|\n{END}after\n")
    assert shipped.read_text() == (tmp_path / "repeatability.json").read_text()
    assert (page.parent / "figures" / "burden_agreement.png").exists()
    document = json.loads((tmp_path / "burden.json").read_text())
    assert document["patients"] == {
        "burden": 3,
        "repeated": 2,
        "normal": 2,
        "normal_repeated": 1,
    }
    first = document["agreement"][0]
    assert (first["found"], first["truth"], first["n"]) == ("true/true", "volume", 3)
    # Two pixels of 60 of the femur for each number, 17.8 / 2 percent.
    assert first["slope"] == pytest.approx(8.9 * 2 / 60 / 0.3)
    doubts = document["doubts"]
    assert doubts["n_in_doubt"] == 3
    whole = doubts["withheld"]["whole"]
    assert (whole["n"], whole["n_withheld"]) == (3, 3)
    # Counts of a hundred pixels, and bones that are all skull.
    assert set(whole["rules"]) == {"few_counts", "region_not_shown"}
    assert document["false"]["whole"]["n"] == 2
    whats = {"new noise", LYING_AGAIN, *(f"{counts} counts" for counts in COUNTS)}
    assert {row["what"] for row in document["repeats"]} == whats
    rows = list(csv.DictReader((tmp_path / "scans.csv").read_text().splitlines()))
    assert len(rows) == 3 * 11 + 3 + 1
    assert {row["scan"] for row in rows} >= {FIRST, "new noise", "200000 again"}
    table = read_repeatability("whole body", tmp_path / "repeatability.json")
    assert table.measured["seed"] == 2101 and table.measured["patients"] == 3
    said = (tmp_path / "burden.md").read_text()
    assert "SIMULATED" in said and "hotspots found in the whole body" in said
    assert (tmp_path / "agreement.png").stat().st_size > 10_000


@pytest.mark.usefixtures("fakes")
def test_what_was_measured_is_not_measured_again(tmp_path):
    run(tmp_path, "--ask=", "--repeated=0")
    patient = tmp_path / "patients" / "burden_0002.json"
    record = json.loads(patient.read_text())
    record["scans"][FIRST]["volume"]["whole body"] = 7.5
    patient.write_text(json.dumps(record))
    run(tmp_path, "--ask=", "--repeated=0")
    assert "7.5" in (tmp_path / "scans.csv").read_text()
    assert not (tmp_path / "repeatability.json").exists()
    with pytest.raises(UserError, match=r"seed \(2101, not 4\); choose another"):
        run(tmp_path, "--ask=", "--seed=4")
    with pytest.raises(UserError, match="expected some of bones, crop, whole"):
        run(tmp_path, "--ask=everybody")


def test_every_bone_has_a_region_to_be_lost_in():
    assert {bone for region in REGIONS for bone in region.bones} >= {"left femur", "C4"}
