"""Tests of how much of the skeleton metastases hold, and of diseases drawn for it."""

import numpy as np
import pytest

from spectjax.bones.regions import NAMES, REGIONS, THORAX
from spectjax.phantom.burden import draw_burden, measure_burden
from spectjax.phantom.lesions import find_points, light_up
from spectjax.phantom.skeleton import build_skeleton
from spectjax.phantom.slots import draw_slots


def light_bones(*bones):
    """A metastasis that holds whole bones."""
    skeleton = build_skeleton()
    points = find_points(skeleton, bones)
    return light_up("metastasis", bones[0], skeleton, points, np.zeros(3), 1e6, 2.0)


@pytest.mark.parametrize(
    ("region", "percent"),
    [("skull", 18.4), ("left femur", 8.9), ("thoracic spine", 8.3 * 0.36)],
)
def test_a_metastasis_of_a_whole_region_has_the_mass_of_the_region(region, percent):
    bones = REGIONS[NAMES.index(region)].bones
    burden = measure_burden([light_bones(*bones)])
    assert burden.measure_index() == pytest.approx(percent)
    expected = np.arange(len(NAMES)) == NAMES.index(region)
    np.testing.assert_allclose(burden.lesion_shares, [expected])
    in_thorax = percent if region == "thoracic spine" else 0
    assert burden.measure_index(THORAX) == pytest.approx(in_thorax)


def test_shares_are_of_volume_and_not_of_uptake():
    # The sternum by hand, as elliptical tubes: length x pi x half width x half depth.
    manubrium = np.hypot(46, 16) * np.pi * 24 * 6
    body = (np.hypot(63, 6) * 17 + np.hypot(40, 3) * 16.5) * np.pi * 5
    tip = np.hypot(23, 1) * np.pi * 5 * 3
    # By uptake, 2, 1.6 and 0.9 of it, the manubrium has a half.
    skeleton = build_skeleton()
    points = find_points(skeleton, ["sternum"])
    points = points[skeleton.xyz_mm[points, 1] < 344]
    spot = light_up("metastasis", "sternum", skeleton, points, np.zeros(3), 1e6, 2.0)
    share = measure_burden([spot]).shares[NAMES.index("sternum")]
    assert share == pytest.approx(manubrium / (manubrium + body + tip), rel=0.01)


def test_what_two_metastases_hold_counts_once():
    one, two = light_bones("sternum"), light_bones("sternum", "left clavicle")
    burden = measure_burden([one, two])
    assert burden.lesion_shares.sum() == pytest.approx(3)
    assert burden.measure_index() == pytest.approx(0.3 + 0.5)


def test_nobody_without_metastases_has_a_burden():
    burden = measure_burden([])
    assert burden.lesion_shares.shape == (0, len(REGIONS))
    assert burden.measure_index() == 0


@pytest.mark.parametrize("percent", [0.1, 2.0, 13.0])
def test_draw_burden_reaches_what_is_wanted(percent):
    skeleton = build_skeleton()
    foci = draw_burden(np.random.default_rng(3), skeleton, percent)
    burden = measure_burden([focus.light_up(skeleton) for focus in foci])
    assert 0.97 * percent <= burden.measure_index() <= percent + 0.01


def test_metastases_of_extensive_disease_are_many_and_no_larger_than_others():
    """Sites follow the marrow: 17.5 % of it is in hip bones, 12.3 % in L1 to L5."""
    skeleton = build_skeleton()
    sizes, sites = {0.5: [], 9.0: []}, []
    for percent, found in sizes.items():
        for seed in range(40 if percent < 1 else 2):
            foci = draw_burden(np.random.default_rng(seed), skeleton, percent)
            # The last fills up what is wanted.
            found += [np.median(f.axes_mm) for f in foci[:-1] if "rib" not in f.site]
            sites += [focus.site for focus in foci] if percent < 1 else []
    assert len(sizes[9.0]) > 20 * 2
    few, many = (np.median(found) for found in sizes.values())
    assert many == pytest.approx(few, rel=0.25)
    assert few == pytest.approx(20, rel=0.25)
    for name, share in (("hip bone", 0.175), ("L", 0.123), ("rib", 0.161)):
        n = sum(name in site for site in sites)
        spread = (share * (1 - share) * len(sites)) ** 0.5
        assert n == pytest.approx(share * len(sites), abs=3 * spread)


def test_burdens_of_a_population_are_spread_evenly():
    slots = draw_slots("burden", 60, 0)
    assert all(slot.layout.views and slot.diagnosis == "metastasis" for slot in slots)
    for first in (0, 20, 40):
        drawn = [slot.burden for slot in slots[first : first + 20]]
        counts, _ = np.histogram(drawn, np.linspace(0.1, 13, 6))
        assert counts.sum() == 20 and counts.min() >= 3 and counts.max() <= 5


def test_half_of_whole_body_is_normal_and_a_quarter_has_any_burden():
    slots = draw_slots("whole_body", 40, 2)
    assert sum(slot.diagnosis == "normal" for slot in slots) == 20
    assert sum(slot.burden is not None for slot in slots) == 10
    assert all(len(slot.layout.views) == 2 for slot in slots)
