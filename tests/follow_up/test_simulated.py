"""A simulated patient who is scanned twice: what changed comes out as what it is."""

import numpy as np
import pytest

from spectjax.bones.carrying import SeenSide
from spectjax.bones.matching import compare_views
from spectjax.bones.regions import draw_regions
from spectjax.phantom.again import scan_again
from spectjax.phantom.frames import Frame
from spectjax.phantom.lesions import Focus, find_points
from spectjax.phantom.patient import examine


def draw_focus(skeleton, bone, axis_mm=12.0):
    """A metastasis in the middle of a bone."""
    points = find_points(skeleton, (bone,))
    middle = skeleton.xyz_mm[points].mean(axis=0)
    nearest = points[np.linalg.norm(skeleton.xyz_mm[points] - middle, axis=1).argmin()]
    return Focus(bone, points, skeleton.xyz_mm[nearest], np.full(3, axis_mm), 8.0)


def show(examination, view):
    """The true bones and metastases of a view."""
    shown = examination.patient.views[view]
    whole = np.ones(shown.counts.shape, bool)
    spacing_mm = (examination.patient.spacing_mm,) * 2
    regions = draw_regions(shown.bone_masks, shown.bone_names, view)
    return SeenSide(regions, [*shown.lesion_masks], whole, ~whole, spacing_mm)


@pytest.fixture(scope="module")
def pair():
    """The first has left rib 6, right hip bone and L3; then L3 is gone, one has grown.

    Right scapula is new; the patient lies otherwise, on a frame of other pixels.
    """
    first = examine(5, frame=Frame((512, 128), 4.6))
    skeleton = first.subject.skeleton
    rib, hip, spine, scapula = (
        draw_focus(skeleton, bone)
        for bone in ("left rib 6", "right hip bone", "L3", "right scapula")
    )
    before = scan_again(first, 1, foci=[rib, hip, spine])
    after = scan_again(
        first,
        2,
        foci=[rib, hip.grow(2), scapula],
        lie_down=True,
        frame=Frame((512, 160), 4.2),
    )
    return before, after


@pytest.mark.parametrize("view", ["anterior", "posterior"])
def test_new_gone_larger_and_unchanged_come_out_right(pair, view):
    before, after = (show(each, view) for each in pair)
    said = {c.region: (c.kind, c.before, c.after) for c in compare_views(before, after)}
    assert said == {
        "left ribs": ("unchanged", (0,), (0,)),
        "right hip bone": ("larger", (1,), (1,)),
        "lumbar spine": ("gone", (2,), ()),
        "right scapula": ("new", (), (2,)),
    }
