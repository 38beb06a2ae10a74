"""Tests of `spectjax.training.checkpoint`."""

import json
import os
import random
import shutil
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spectjax.training import checkpoint
from spectjax.training.checkpoint import CheckpointError, Checkpoints, Progress

PROGRESS = Progress(data="made up", sums={"loss": 0.1}, seconds=2.5)


def make_state(value, size=3):
    """A state whose types must survive: a named tuple, an integer, a key of weights."""
    params = {"kernel": jnp.full((size, 2), value)}
    return jax.device_get({"params": params, "opt_state": optax.adam(0.1).init(params)})


def test_restore_returns_the_newest_state_with_its_types(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(1.0), PROGRESS)
        checkpoints.save(2, make_state(2.0), PROGRESS)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 2
        restored, progress = checkpoints.restore(make_state(0.0))
    assert jax.tree.structure(restored) == jax.tree.structure(make_state(0.0))
    jax.tree.map(np.testing.assert_array_equal, restored, make_state(2.0))


def test_save_keeps_the_last_two(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (5, 10, 15):
            checkpoints.save(step, make_state(1.0), PROGRESS)
    folders = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert folders == {"10", "15"}


def test_save_of_the_same_step_again_does_nothing(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, make_state(1.0), PROGRESS)
        checkpoints.save(5, make_state(1.0), PROGRESS)


def test_a_half_written_checkpoint_is_not_taken_for_whole(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, make_state(1.0), PROGRESS)
    (tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp").mkdir()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 5


def test_restore_without_checkpoint_says_to_train(tmp_path):
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match="no checkpoint; train first"),
    ):
        checkpoints.restore(make_state(0.0))


def test_reading_leaves_a_run_that_still_trains_alone(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, make_state(1.0), PROGRESS)
    unfinished = tmp_path / "checkpoints" / "9.orbax-checkpoint-tmp"
    unfinished.mkdir()
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        restored, progress = checkpoints.restore(make_state(0.0))
    jax.tree.map(np.testing.assert_array_equal, restored, make_state(1.0))
    assert unfinished.exists()


def test_reading_where_nothing_is_leaves_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint; train first"):
        Checkpoints(tmp_path, read_only=True)
    assert not list(tmp_path.iterdir())


def test_restore_of_another_model_is_refused_in_one_line(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, make_state(1.0), PROGRESS)
        wanted = {"weights": make_state(0.0)["params"]["kernel"]}
        with pytest.raises(CheckpointError, match=r"checkpoints/5: .*another") as error:
            checkpoints.restore(wanted)
    assert "\n" not in str(error.value)


def test_restore_of_a_damaged_checkpoint_is_refused_in_one_line(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, make_state(1.0, size=1000), PROGRESS)
    for path in (tmp_path / "checkpoints" / "5").rglob("d/*"):
        os.truncate(path, 10)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match=r"checkpoints/5: damaged") as error,
    ):
        checkpoints.restore(make_state(0.0, size=1000))
    assert "\n" not in str(error.value)


def test_save_on_a_full_disk_says_so_and_keeps_what_was_saved(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, make_state(1.0), PROGRESS)

        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(CheckpointError, match=r"9: .*No space left .*same command"):
            checkpoints.save(9, make_state(2.0), PROGRESS)
        assert checkpoints.latest_step() == 5


@pytest.mark.parametrize(
    "name",
    [
        "lr[0.01]",
        "[!a]",
        "a*b?",
        "**",
        "{a,b} %20 #$!&;|<>",
        "~",
        "'\"",
        "back\\slash",
        "gs:",
        "new\nline\t\x1b[31m",
        "Müller 日本 e\u0301",
        # Elsewhere the file systems have no such names.
        *([os.fsdecode(b"not\xffUTF-8")] if sys.platform == "linux" else []),
    ],
    ids=ascii,
)
def test_a_folder_may_have_any_name(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "axby").mkdir()  # another run, which the pattern a*b? fits
    for workdir, value in ((tmp_path / "axby", 3.0), (tmp_path / name, 1.0)):
        with Checkpoints(workdir) as checkpoints:
            checkpoints.save(1, make_state(value), PROGRESS, loss=2.0)
            checkpoints.save(2, make_state(value + 1), PROGRESS, loss=1.0)
    with Checkpoints(tmp_path / name, read_only=True) as checkpoints:
        assert (checkpoints.latest_step(), checkpoints.best_step()) == (2, 2)
        restored, progress = checkpoints.restore(make_state(0.0))
    assert progress == PROGRESS
    jax.tree.map(np.testing.assert_array_equal, restored, make_state(2.0))


def test_no_second_name_of_a_folder_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Checkpoints(tmp_path / "[a]") as checkpoints:
        checkpoints.save(1, make_state(1.0), PROGRESS)
    assert os.listdir(tmp_path) == ["[a]"]
    assert (tmp_path / "[a]" / "checkpoints" / "1" / "state").is_dir()


def test_a_name_that_cannot_be_used_is_refused_before_anything_is_saved(
    tmp_path, monkeypatch
):
    (tmp_path / "[tmp]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "[tmp]"))
    with pytest.raises(CheckpointError, match=r"\[a\].*Choose another --workdir"):
        Checkpoints(tmp_path / "[a]")
    assert not os.listdir(tmp_path / "[tmp]")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two checkpoints of numbers that do not compress, and the second's state."""
    folder = tmp_path_factory.mktemp("saved")
    numbers = np.random.default_rng(0).standard_normal((3, 32, 32)).astype(np.float32)
    state = {"params": {"kernel": numbers}}
    with Checkpoints(folder) as checkpoints:
        for step, loss in ((1, 2.0), (2, 1.0)):
            checkpoints.save(step, state, PROGRESS, loss)
    return folder, state


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved[0], tmp_path / "run")


def list_files(folder):
    """Files of the newest checkpoint, in the order of their sizes."""
    paths = (folder / "checkpoints" / "2").rglob("*")
    return sorted((p for p in paths if p.is_file()), key=lambda p: p.stat().st_size)


def read(folder, state):
    with Checkpoints(folder, read_only=True) as checkpoints:
        return checkpoints.restore(state, checkpoints.best_step())


def test_no_flipped_bit_is_restored_as_right(saved, copy, monkeypatch):
    monkeypatch.setattr(checkpoint, "PATIENCE_SECONDS", 0.01)
    state, rng, refused = saved[1], random.Random(0), 0
    for path in 2 * list_files(copy)[-12:] + 12 * list_files(copy)[-1:]:
        whole = path.read_bytes()
        spoilt = bytearray(whole)
        spoilt[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(spoilt)
        try:
            restored, progress = read(copy, state)
        except CheckpointError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
        else:
            assert progress == PROGRESS
            jax.tree.map(np.testing.assert_array_equal, restored, state)
        path.write_bytes(whole)
    assert refused > 10


def test_other_numbers_than_those_saved_are_refused(saved, copy):
    largest = list_files(copy)[-1]
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.raises(
        CheckpointError,
        match=r"checkpoints/2: damaged.*\(its numbers are not those that were saved\). "
        r"Move this folder out of .*checkpoints to go on from the checkpoint of step 1",
    ) as error:
        read(copy, saved[1])
    assert "emove" not in str(error.value)  # what is damaged may still be of use


def test_without_a_checkpoint_before_the_advice_is_another_folder(saved, copy):
    shutil.rmtree(copy / "checkpoints" / "1")
    os.truncate(list_files(copy)[-1], 10)
    with pytest.raises(CheckpointError, match="none before it: choose another --work"):
        read(copy, saved[1])


def test_a_checkpoint_with_a_damaged_or_missing_part_is_one_line(
    saved, copy, monkeypatch
):
    monkeypatch.setattr(checkpoint, "PATIENCE_SECONDS", 0.01)
    for path in list_files(copy):
        whole = path.read_bytes()
        for length in (None, len(whole) // 2):
            if length is None:
                path.unlink()
            else:
                path.write_bytes(whole[:length])
            try:
                restored, progress = read(copy, saved[1])
            except CheckpointError as error:
                assert len(str(error).splitlines()) == 1
            else:
                assert progress == PROGRESS
                jax.tree.map(np.testing.assert_array_equal, restored, saved[1])
            path.write_bytes(whole)


def edit_json(path, **changes):
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v != "gone"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": 3}, "data of its progress is a int"),
        ({"sums": {"loss": "a"}}, "a sum of its progress is no number"),
        ({"seconds": "gone"}, "its progress has other entries"),
        ({"more": 1}, "its progress has other entries"),
        ({"seconds": 2.25}, "its numbers are not those that were saved"),
        ({"loss": 1.5}, "its loss is not the one that was saved"),
    ],
)
def test_what_is_saved_beside_a_state_is_checked(saved, copy, changes, message):
    edit_json(copy / "checkpoints" / "2" / "progress" / "metadata", **changes)
    with pytest.raises(CheckpointError, match=message):
        read(copy, saved[1])


def test_a_loss_that_would_pick_another_checkpoint_is_refused(saved, copy):
    edit_json(copy / "checkpoints" / "1" / "metrics" / "metrics", loss=0.5)
    with pytest.raises(CheckpointError, match=r"/1: .*its loss is not the one"):
        read(copy, saved[1])


def test_a_checkpoint_under_the_step_of_another_is_refused(saved, copy):
    folder = copy / "checkpoints"
    shutil.copytree(folder / "1", folder / "3")
    with pytest.raises(CheckpointError, match=r"/3: .*it is that of step 1"):
        read(copy, saved[1])


def test_a_checkpoint_of_before_is_read_and_said_not_to_be_checked(saved, copy, capsys):
    for step in ("1", "2"):
        progress = copy / "checkpoints" / step / "progress" / "metadata"
        edit_json(progress, sha256="gone", loss="gone")
    restored, progress = read(copy, saved[1])
    jax.tree.map(np.testing.assert_array_equal, restored, saved[1])
    assert not progress.verified
    assert "2: an older version saved it without a digest" in capsys.readouterr().err
