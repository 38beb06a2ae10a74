"""Tests of `spectjax.imaging.export_views`."""

import subprocess
import sys

import numpy as np
from matplotlib.image import imread

from spectjax.imaging.readers_pictures import render_view
from tests.support.nm_files import detectors, write_nm

COUNTS = np.zeros((64, 33))
COUNTS[3, 5], COUNTS[40, 30], COUNTS[41, 30] = 1, 4, 100


def run(*arguments):
    command = [sys.executable, "-m", "spectjax.imaging.export_views", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_render_view_is_white_without_counts_and_black_from_the_percentile_on():
    # The median of the counts 1, 4 and 100 is black; a quarter of it is a quarter grey.
    picture = render_view(COUNTS, 50)
    assert picture.dtype == np.uint8
    assert (picture[0, 0], picture[3, 5]) == (255, 191)
    assert (picture[40, 30], picture[41, 30]) == (0, 0)


def test_export_views_writes_each_view_unscaled_and_names_what_it_skips(tmp_path):
    frames = np.stack([COUNTS, COUNTS[::-1]]).astype(np.uint16)
    sequence = detectors("anterior", "posterior")
    write_nm(tmp_path / "P1.dcm", frames, DetectorInformationSequence=sequence)
    (tmp_path / "bad.dcm").write_bytes(b"no DICOM")
    out = tmp_path / "out" / "pictures"

    result = run(f"--output_dir={out}", tmp_path)
    assert result.returncode == 0
    assert result.stderr.startswith(f"skipped: {tmp_path / 'bad.dcm'}: ")
    names = ["P1_anterior.png", "P1_posterior.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    picture = imread(out / "P1_posterior.png")
    assert picture.shape == (64, 33)
    assert (picture[60, 5] < 1, picture[3, 5] == 1) == (True, True)


def test_export_views_fails_in_one_line_when_nothing_is_left(tmp_path):
    result = run(f"--output_dir={tmp_path}", tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "0 views written" in result.stderr


def test_export_views_refuses_two_scans_of_one_name(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "IM1.dcm"
        write_nm(path, COUNTS[None].astype(np.uint16), ge_labels="_E")
    out = tmp_path / "out"
    result = run(f"--output_dir={out}", tmp_path / "a", tmp_path / "b")
    assert result.returncode == 1
    assert "different names" in result.stderr and not out.exists()


def test_export_views_replaces_its_own_picture_and_no_other(tmp_path):
    scans = [tmp_path / folder / "IM1.dcm" for folder in ("a", "b")]
    for path in scans:
        path.parent.mkdir()
        write_nm(path, COUNTS[None].astype(np.uint16), ge_labels="_E")
    out = tmp_path / "out"
    assert run(f"--output_dir={out}", scans[0]).returncode == 0
    before = (out / "IM1_anterior.png").read_bytes()
    assert run(f"--output_dir={out}", scans[0]).returncode == 0
    result = run(f"--output_dir={out}", scans[1])
    assert result.returncode == 1
    assert f"{scans[1]}: expected {out / 'IM1_anterior.png'} to be free" in (
        result.stderr
    )
    assert (out / "IM1_anterior.png").read_bytes() == before


def test_export_views_refuses_a_name_that_leaves_no_room_for_an_annotation(tmp_path):
    path = tmp_path / ("x" * 251 + ".dcm")
    write_nm(tmp_path / "a.dcm", COUNTS[None].astype(np.uint16), ge_labels="_E")
    (tmp_path / "a.dcm").rename(path)
    result = run(f"--output_dir={tmp_path / 'out'}", path)
    assert result.returncode == 1
    assert "expected a name that leaves room for _anterior.json" in result.stderr
