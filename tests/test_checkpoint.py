"""Tests of `spectjax.checkpoint`."""

import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spectjax.checkpoint import CheckpointError, Checkpoints, Progress

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
