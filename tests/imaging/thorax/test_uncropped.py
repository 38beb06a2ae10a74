"""Tests of what `spectjax.imaging.thorax` says of images that it does not crop."""

import json

from spectjax.imaging.thorax import evidence
from tests.support.flagged_commands import run_in_process
from tests.support.thorax_pictures import HW, write_weak_view

WEAK = "by weak evidence: only the detector's start angle"


def test_a_thorax_is_shown_whole_and_a_weak_view_is_told_everywhere(
    tmp_path, monkeypatch, capsys
):
    drawn = []
    draw = evidence.draw_evidence
    monkeypatch.setattr(
        evidence, "draw_evidence", lambda each: drawn.append(draw(each)) or drawn[-1]
    )
    path, out = write_weak_view(tmp_path / "a.dcm"), tmp_path / "out"
    run_in_process(
        "spectjax.imaging.thorax.__main__",
        f"--output_dir={out}",
        "--region=thorax",
        path,
    )
    (document,) = (json.loads(each.read_text()) for each in out.glob("*.json"))
    assert document["region"] == "thorax" and document["box"] == [0, 0, *HW]
    shown = " ".join(drawn[0].get_suptitle().split())
    for where in (capsys.readouterr().out, shown, " ".join(document["warnings"])):
        assert WEAK in where and "not cropped" in where
    assert len(list(out.glob("*.png"))) == 1
    assert not (out / "crops.csv").exists()
