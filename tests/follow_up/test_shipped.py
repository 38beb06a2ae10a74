"""The whole way from two files to what changed, with the model that ships."""

import json
import subprocess
import sys

import numpy as np
import pytest

from spectjax.phantom.again import scan_again
from spectjax.phantom.files import encode_dicom
from spectjax.phantom.lesions import Focus, find_points
from spectjax.phantom.patient import examine

VIEWS = ("anterior", "posterior")


def draw_focus(skeleton, bone, place, axis_mm):
    """A metastasis at a share of a bone's points."""
    points = find_points(skeleton, (bone,))
    centre = skeleton.xyz_mm[points[int(place * len(points))]]
    return Focus(bone, points, centre, np.full(3, axis_mm), 9.0)


@pytest.mark.slow
def test_a_rib_that_heals_and_a_scapula_that_is_hit_are_told(tmp_path):
    first = examine(7002)
    gone, stays, new = (
        draw_focus(first.subject.skeleton, *each)
        for each in (
            ("right rib 8", 0.6, 12.0),
            ("left rib 6", 0.3, 14.0),
            ("right scapula", 0.5, 16.0),
        )
    )
    for number, (name, foci, day) in enumerate(
        (("before", [gone, stays], "20250110"), ("after", [new, stays], "20250710")), 1
    ):
        scan = scan_again(first, number, foci=foci, lie_down=True)
        stated = {"StudyDate": day}
        identity = ("follow up", name)
        content = encode_dicom("P0001", scan.patient, VIEWS, "sct", identity, 1, stated)
        (tmp_path / f"{name}.dcm").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "spectjax.follow_up", "before.dcm", "after.dcm"]
        + ["--output_dir=out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {each.name for each in (tmp_path / "out").iterdir() if each.suffix} == {
        "follow_up.csv",
        "follow_up.json",
        "follow_up.png",
    }
    document = json.loads((tmp_path / "out" / "follow_up.json").read_text())
    kinds = {(e["view"], e["region"]): e["kind"] for e in document["changes"]}
    assert kinds["posterior", "right ribs"] == "gone"
    assert kinds["posterior", "right scapula"] == "new"
    assert kinds["posterior", "left ribs"] == "unchanged"
    assert document["days_between"] == 181
    assert document["before"]["index"]["name"].startswith("thoracic bone involvement")
