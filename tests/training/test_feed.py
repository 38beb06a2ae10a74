"""Tests of `feed` and `step.run_steps`: the same batches on every way."""

from functools import partial

import jax
import numpy as np
import pytest

from spectjax.input_pipeline import draw_batches
from spectjax.training.assembly import create_task
from spectjax.training.feed import ResidentFeed, StreamedFeed, count_room
from spectjax.training.loop import train
from spectjax.training.optimizer import create_optimizer
from spectjax.training.parallel import AXIS, MeshLayout
from spectjax.training.step import create_train_state, run_steps, train_step
from tests.support.examples import make_spots, store
from tests.support.tiny_runs import assert_equal, make_config, read_log, read_state


def take_batches(feed, epoch, first_step):
    """Every batch as the compiled step will gather it."""
    for dispatch in feed.dispatches(epoch, first_step):
        assert len(dispatch.rows) >= dispatch.num_steps == len(dispatch.examples)
        for i in range(dispatch.num_steps):
            rows = dispatch.rows[i]
            batch = {name: np.asarray(x)[rows] for name, x in dispatch.data.items()}
            yield batch, dispatch.examples[i].tolist()


@pytest.mark.parametrize("first_step", [0, 2])
@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_feeds_give_the_batches_drawn_for_the_epoch(kind, first_step):
    examples = make_spots(11)
    if kind == "resident":
        feed = ResidentFeed(examples, MeshLayout(), batch_size=2, seed=3, max_steps=3)
        feed.steps = 3
    else:
        feed = StreamedFeed(store(examples), MeshLayout(), batch_size=2, seed=3)
    drawn = draw_batches(11, 2, seed=3, epoch=4)[first_step:]
    batches = list(take_batches(feed, 4, first_step))
    assert len(batches) == len(drawn) == 5 - first_step
    for (batch, numbers), rows in zip(batches, drawn, strict=True):
        assert numbers == rows.tolist()
        np.testing.assert_array_equal(batch["images"], examples.images[rows])
        np.testing.assert_array_equal(batch["masks"], examples.masks[rows])


def test_stored_examples_are_cut_as_those_in_memory():
    examples = make_spots(3)
    stored = store(examples).crop_centre((4, 6))
    expected = examples.crop_centre((4, 6)).read([2, 0])
    for name, values in stored.read(np.array([2, 0])).items():
        np.testing.assert_array_equal(values, expected[name])
    with pytest.raises(ValueError, match=r"train_hw=\(11, 6\) exceeds .* 10x12"):
        store(examples).crop_centre((11, 6))


def assert_close(a, b):
    # A step of AdamW turns the sign of a tiny gradient into a step: 1e-4 for all.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4), a, b)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    """A run of two epochs of five steps, each step a dispatch."""
    workdir = tmp_path_factory.mktemp("one_by_one")
    train(make_config(steps_per_dispatch=1), workdir, make_spots(11))
    return workdir


@pytest.mark.parametrize("steps", [2, 8])
def test_several_steps_per_dispatch_change_rounding_at_most(
    one_by_one, tmp_path, steps
):
    train(make_config(steps_per_dispatch=steps), tmp_path, make_spots(11))
    assert_close(read_state(tmp_path), read_state(one_by_one))
    for ours, theirs in zip(read_log(tmp_path), read_log(one_by_one), strict=True):
        np.testing.assert_allclose(float(ours["loss"]), float(theirs["loss"]), 1e-5)


def test_where_a_dispatch_ends_changes_no_bit():
    """Five steps at once, and three and two: as after a stop between them."""
    config = make_config()
    task = create_task(config)
    optimizer = create_optimizer(config.optimizer, 10)
    layout = MeshLayout()
    step = partial(train_step, task=task, optimizer=optimizer, axis_name=AXIS)
    run = layout.compile(
        partial(run_steps, step=step, axis_name=AXIS), split_data=False
    )
    examples = make_spots(11).crop_centre((8, 8))
    feed = ResidentFeed(examples, layout, batch_size=2, seed=3, max_steps=5)
    feed.steps = 5
    key = jax.random.key(0)

    def advance(state, first_step, num_steps):
        (dispatch,) = feed.dispatches(0, first_step)
        return run(state, dispatch.data, dispatch.rows, num_steps, key)

    first = jax.device_get(create_train_state(task, optimizer, key, (8, 8)))
    whole, sums = advance(layout.place(first), 0, 5)
    half, first_sums = advance(layout.place(first), 0, 3)
    ends, last_sums = advance(half, 3, 2)
    assert_equal(layout.begin_fetch(ends)(), layout.begin_fetch(whole)())
    losses = np.concatenate([first_sums["loss"][:3], last_sums["loss"][:2]])
    np.testing.assert_array_equal(sums["loss"], losses)
    assert int(whole.step) == 5


def test_a_streamed_run_equals_one_from_memory(one_by_one, tmp_path, capsys):
    stored = store(make_spots(11))
    train(make_config(), tmp_path, stored)
    assert "11 examples, streamed from disk" in capsys.readouterr().out
    assert len(stored.source.read) == 20  # each batch of both epochs, once
    assert_close(read_state(tmp_path), read_state(one_by_one))


def test_count_room_is_a_share_of_this_machines_memory():
    assert 2**26 < count_room() < 2**46
