"""Tests of the command `spectjax.imaging.deidentify`: what it refuses to begin with."""

import csv

import numpy as np
import pytest

from spectjax.imaging.annotations.labelme import Annotation
from spectjax.imaging.annotations.regions import Region
from spectjax.imaging.deidentify.__main__ import check_places
from spectjax.imaging.deidentify.folder import (
    open_target,
)
from spectjax.imaging.deidentify.image import RefusedError
from spectjax.imaging.deidentify.outlines import WrittenView, encode_outlines
from spectjax.system.messages import UserError
from tests.support.deidentified import (
    FRAMES,
    OPPOSITE,
    run,
)
from tests.support.nm_files import write_nm


def test_the_command_refuses_without_a_key_and_says_how_to_make_one(tmp_path):
    (tmp_path / "in").mkdir()
    result = run(tmp_path / "in", tmp_path / "out", key="")
    assert result.returncode == 1 and "secrets.token_hex" in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "target", "mapping", "fault"),
    [
        ("in", "in/out", None, "inside the other"),
        ("in/deep", "in", None, "inside the other"),
        ("in", "out", "out/m.csv", "identifies patients"),
        ("in", "out", "out-report/m.csv", "identifies patients"),
        ("nothing", "out", None, "expected a folder"),
    ],
)
def test_input_results_and_mapping_are_kept_apart(
    tmp_path, source, target, mapping, fault
):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    places = [tmp_path / name for name in (source, target, f"{target}-report")]
    private = tmp_path / mapping if mapping else None
    with pytest.raises(UserError, match=fault):
        check_places(*places, private)


def test_the_command_writes_the_mapping_where_it_is_told_to(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_nm(source / "Mayer.dcm", FRAMES, DetectorInformationSequence=OPPOSITE)
    result = run(source, out, f"--mapping={tmp_path / 'private' / 'm.csv'}")
    assert result.returncode == 0
    text = (tmp_path / "private" / "m.csv").read_text()
    (row,) = csv.DictReader(text.splitlines())
    assert row["original"] == str(source / "Mayer.dcm")
    assert (out / row["file"]).is_file()


def test_a_folder_of_other_files_is_not_taken_over(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RefusedError, match="empty folder"):
        open_target(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_outline_without_a_pixel_does_not_go_out_as_nothing_drawn(tmp_path):
    view = WrittenView("name", (40, 20), synthetic=True)
    corners = np.array([[1, 1.6], [9, 1.6], [9, 1.9]])
    thin = Region("metastasis", corners, None)
    empty = Region("metastasis", None, np.zeros((40, 20), bool))
    for region in (thin, empty):
        annotation = Annotation(tmp_path, "r1", "a", (40, 20), (region,))
        with pytest.raises(RefusedError, match="no pixel"):
            encode_outlines(annotation, view, frozenset({"metastasis"}))
