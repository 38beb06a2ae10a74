"""The table beside a peer holds what pixel counts give by hand.

The peer itself needs PyTorch and MONAI and is run by hand.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from scripts.peers.table import format_table, read_ours, read_peer

ROOT = pathlib.Path(__file__).parents[2]
HEADER = "example_id,patient,view,TP,FP,FN,TN\n"


def write_run(workdir, cases, **peer):
    (workdir / "eval").mkdir(parents=True)
    (workdir / "eval" / "cases.csv").write_text(HEADER + cases)
    (workdir / "train.csv").write_text("epoch,seconds\n1,20.5\n2,10\n")
    if peer:
        (workdir / "peer.json").write_text(json.dumps(peer))
    return workdir


@pytest.fixture
def peers(tmp_path):
    first = "b,P2,anterior,0,4,0,96\na,P1,anterior,6,2,2,90\n"
    second = "c,P3,anterior,2,0,8,90\n"
    return {
        "fold0": read_peer(
            write_run(tmp_path / "peer0", first, processor_seconds=30.2, steps=7)
        ),
        "fold1": read_peer(
            write_run(tmp_path / "peer1", second, processor_seconds=30.4, steps=9)
        ),
    }


def test_folds_are_pooled_by_pixels_and_lesions_averaged_by_images(peers):
    rows = format_table(peers, {}).splitlines()
    # TP 6, FP 6, FN 2; of the image with a lesion alone 6, 2, 2.
    assert rows[2] == (
        "| fold0 | MONAI U-Net | 7 | 30 | 0.6000 | 0.4286 | 0.5000 | 0.7500 | 0.7500 |"
    )
    # TP 8, FP 6, FN 10; the images with lesions have 12/16 and 4/12.
    assert rows[4] == (
        "| all | MONAI U-Net | 16 | 61 | 0.5000 | 0.3333 | 0.5714 | 0.4444 | 0.5417 |"
    )


def test_our_rows_stand_beside_and_the_difference_below(peers, tmp_path):
    first = "a,P1,anterior,8,0,0,92\nb,P2,anterior,0,0,0,100\n"
    ours = {
        "fold0": read_ours(write_run(tmp_path / "run0", first)),
        "fold1": read_ours(write_run(tmp_path / "run1", "c,P3,anterior,10,0,0,90\n")),
    }
    text = format_table(peers, ours)
    perfect = " | ".join(["1.0000"] * 5)
    assert f"| fold0 | spectjax | – | 30 | {perfect} |" in text
    assert f"| all | spectjax | – | 61 | {perfect} |" in text
    assert "less MONAI's: +0.5000 (95 % " in text
    assert "over 3 patients" in text


def test_a_run_that_scored_other_images_is_refused(peers, tmp_path):
    other = read_ours(write_run(tmp_path / "run", "d,P4,anterior,8,0,0,92\n"))
    with pytest.raises(ValueError, match="fold1: our run scored other images"):
        format_table(peers, {"fold1": other})
    with pytest.raises(ValueError, match="expected a finished run"):
        read_ours(tmp_path / "nothing")


def test_images_keep_their_counts_when_they_are_put_in_order(peers):
    assert peers["fold0"].example_ids == ["a", "b"]
    assert peers["fold0"].patients == ["P1", "P2"]
    np.testing.assert_array_equal(peers["fold0"].pixels[1], [0, 4, 0, 96])


def test_without_pytorch_the_command_says_what_is_missing(tmp_path):
    block = "import sys\nsys.modules['torch'] = sys.modules['monai'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(block)

    def run(*args):
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts/compare_with_monai.py"), *args],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    assert "--seconds" in run("--help").stdout
    result = run("--seconds=1", f"--output_dir={tmp_path}")
    assert result.returncode == 1
    assert result.stderr.startswith("error: torch and monai: not found")
    assert len(result.stderr.splitlines()) == 1
