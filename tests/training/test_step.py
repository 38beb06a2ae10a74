"""Tests of `spectjax.training.step`: the moving average."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spectjax.training.step import (
    TrainState,
    create_train_state,
    train_step,
    update_average,
)


@pytest.mark.parametrize(
    ("step", "kept"),
    [(0, 0.1), (8, 0.5), (1000, 0.9)],  # (1 + step) / (10 + step), at most 0.9
)
def test_update_average_forgets_early_steps_sooner(step, kept):
    average = update_average(
        {"x": jnp.array([1.0])}, {"x": jnp.array([3.0])}, jnp.int32(step), 0.9
    )
    np.testing.assert_allclose(average["x"], [kept + 3 * (1 - kept)], rtol=1e-6)


class Bowl:
    """Loss x^2 / 2 with a batch statistic that counts the steps."""

    def init(self, key, image_hw):
        """Returns x = 1 and no step."""
        return {"params": {"x": jnp.ones(())}, "batch_stats": {"n": jnp.zeros(())}}

    def compute_loss(self, params, batch_stats, batch, key):
        """Returns the loss, which no batch changes."""
        loss = params["x"] ** 2 / 2
        return loss, ({"n": batch_stats["n"] + 1}, {"loss": loss})


def descend(steps, *, averaged):
    optimizer = optax.sgd(0.5)  # halves x
    state = create_train_state(
        Bowl(), optimizer, jax.random.key(0), (1, 1), averaged=averaged
    )
    for _ in range(steps):
        state, _ = train_step(
            state, {}, jax.random.key(0), task=Bowl(), optimizer=optimizer, decay=0.9
        )
    return state


def test_an_averaged_state_is_used_with_its_averages():
    state = descend(2, averaged=True)
    # x: 1, 1/2, 1/4; the average keeps 1/10 of 1, then 2/11 of what it was.
    first = 0.1 * 1 + 0.9 * 0.5
    assert float(state.params["x"]) == 0.25
    np.testing.assert_allclose(
        state.variables["params"]["x"], 2 / 11 * first + 9 / 11 * 0.25, rtol=1e-6
    )
    np.testing.assert_allclose(
        state.variables["batch_stats"]["n"], 2 / 11 * 0.9 + 9 / 11 * 2, rtol=1e-6
    )


def test_a_state_without_averages_is_used_as_it_is():
    state = descend(2, averaged=False)
    assert isinstance(state, TrainState) and state.average == {}
    assert float(state.variables["params"]["x"]) == 0.25
    assert float(state.variables["batch_stats"]["n"]) == 2
