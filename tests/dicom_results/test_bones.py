"""Bones and the index in DICOM results, read back with highdicom."""

import highdicom as hd
import numpy as np
import pytest
from pydicom.sr.codedict import codes

from spectjax.bones.regions import NAMES, REGIONS, THORAX
from spectjax.dicom_results import DicomResults
from spectjax.dicom_results.codes import BONES, SCHEME
from spectjax.imaging.problems import Problems
from spectjax.inference import bones
from spectjax.tasks.views import Reading
from tests.support.bone_maps import TABLE, BonesByHand
from tests.support.dicom_studies import (
    BLOCK,
    RING,
    comments_of,
    evaluations_of,
    groups_of,
    read_study,
    write_results,
    write_study_file,
)

FRAMES = np.full((2, 64, 33), 300, np.uint16)  # 0.63 million counts a view
INDEX = "thoracic bone involvement (planar)"


def draw_bones():
    """The regions of the thorax row by row, with the hotspots in two of them."""
    regions = np.zeros((64, 33), np.uint8)
    names = [region.name for region in REGIONS if region.kind in THORAX]
    for row, name in enumerate(names):
        regions[12 + row, 5:25] = NAMES.index(name) + 1
    # 24 of 48 pixels, and 12 of 36 with the row above.
    regions[20:28, 10:16] = NAMES.index("left ribs") + 1
    regions[30:34, 6:10] = NAMES.index("sternum") + 1
    return regions


def write(folder, flags=(), views=slice(None), regions=None):
    """Writes the results of a study with bones; returns its groups, and the index."""
    regions = draw_bones() if regions is None else regions
    path = write_study_file(folder / "scan.dcm", FRAMES)
    reading = read_study([path], [RING, BLOCK])
    finder, problems = BonesByHand(regions, flags), Problems(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bones, "read_repeatability", lambda extent: TABLE)
        placed, burden = bones.add_bones(list(reading.views)[views], finder, problems)
    product = DicomResults(folder / "results")
    write_results(product, Reading(placed, (), burden), folder)
    (report,) = folder.glob("results/*/sr.dcm")
    return {group.tracking_identifier: group for group in groups_of(report)}, burden


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return write(tmp_path_factory.mktemp("told"))


@pytest.fixture(scope="module")
def withheld(tmp_path_factory):
    """Of one view, in which the left ribs are in doubt."""
    flags = {"left ribs": "methods disagree"}
    return write(tmp_path_factory.mktemp("withheld"), flags, slice(1))


def numbers_of(group):
    return {each.name.meaning: float(each.value) for each in group.get_measurements()}


def test_a_hotspot_has_bone_and_side(told):
    groups, _ = told
    (ribs,), (sternum,) = (groups[f"anterior {i}"].finding_sites for i in (1, 2))
    assert ribs.value == codes.SCT.Rib and ribs.laterality == codes.SCT.Left
    assert ribs.topographical_modifier == codes.SCT.Anterior
    assert sternum.value == codes.SCT.Sternum and sternum.laterality is None
    assert "Region of the skeleton: left ribs." in comments_of(groups["anterior 1"])
    assert "Share of the region's projected area" in numbers_of(groups["anterior 1"])


def test_a_bone_in_doubt_is_no_finding_site(withheld):
    groups, _ = withheld
    group = groups["anterior 1"]
    (site,) = group.finding_sites
    assert site.value == codes.SCT.Bone and site.laterality is None
    said = "Region of the skeleton: left ribs, in doubt: methods disagree."
    assert said in comments_of(group)
    assert "Share of the region's projected area" not in numbers_of(group)


def test_a_bone_that_a_hotspot_lies_beside_is_no_finding_site(tmp_path):
    regions = draw_bones()
    regions[28:36, 5:11] = 0
    regions[30:34, 11] = NAMES.index("sternum") + 1
    groups, _ = write(tmp_path, regions=regions)
    (site,) = groups["anterior 2"].finding_sites
    assert site.value == codes.SCT.Bone and site.laterality is None
    said = "Region of the skeleton: none, beside the sternum."
    assert said in comments_of(groups["anterior 2"])
    assert "Share of the region's projected area" not in numbers_of(
        groups["anterior 2"]
    )


def test_the_index_is_a_group_with_its_constants_and_interval(told):
    groups, burden = told
    group, numbers = groups[INDEX], numbers_of(groups[INDEX])
    percent = burden.index.percent
    assert numbers["Thoracic bone involvement (planar)"] == pytest.approx(percent, 1e-3)
    low, high = (
        numbers[f"{end} end of 95 % of repeated scans, simulated"]
        for end in ("Low", "High")
    )
    assert (low, high) == pytest.approx(burden.interval, abs=6e-4)
    assert low < percent < high
    (index, *_) = group.get_measurements()
    assert index.method.meaning == "Planar, masses of Spiers 1968"
    assert index.method.scheme_designator == SCHEME
    assert index.unit == codes.UCUM.Percent
    sides = [
        m.finding_sites[0].topographical_modifier
        for m in group.get_measurements()
        if m.finding_sites
    ]
    assert sides == [codes.SCT.Anterior, codes.SCT.Posterior]
    assert "Spiers 1968" in comments_of(group)[0]


def test_a_withheld_index_leaves_reasons_and_no_number(withheld):
    groups, _ = withheld
    group = groups[INDEX]
    assert group.get_measurements() == []
    state = evaluations_of(group)["Index of the bones that are marked"]
    assert state == "Withheld: see comments"
    (said, *_) = comments_of(group)
    assert "No posterior view was read." in said
    assert "Anterior: left ribs in doubt: methods disagree." in said


def test_every_kind_of_region_has_a_code():
    assert set(BONES) == {region.kind for region in REGIONS}
    assert len({code.value for code in BONES.values()}) == len(BONES)
    assert isinstance(hd.sr.FindingSite(BONES["hip bone"]), hd.sr.FindingSite)
