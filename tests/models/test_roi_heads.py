"""Heads of Mask R-CNN: shapes, chosen classes, and regions that are left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.models.roi_heads import BoxHead, MaskHead, choose_class, outline_used
from spectjax.ops.backend import plain_operations

HEAD = MaskHead(2, 3, jnp.float32)
REGIONS = jnp.asarray(
    np.random.default_rng(0).normal(size=(2, 5, 4, 4, 3)).astype(np.float32)
)


@pytest.fixture(scope="module")
def params():
    return jax.jit(HEAD.init)(jax.random.key(0), REGIONS)["params"]


def outline(params, regions, used):
    return outline_used(HEAD.bind({"params": params}), regions, used)


@pytest.mark.parametrize(
    "used",
    [
        np.zeros((2, 5), bool),
        np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 1]], bool),
        np.ones((2, 5), bool),
    ],
    ids=["none", "some", "all"],
)
def test_regions_in_use_get_what_the_head_says_and_others_zero(params, used):
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 8, 8, 2)))

    def plainly(params, regions):
        logits = HEAD.apply({"params": params}, regions)
        return logits * used[:, :, None, None, None]

    np.testing.assert_allclose(
        jax.jit(outline)(params, REGIONS, used), plainly(params, REGIONS), atol=1e-5
    )
    ours, theirs = (
        jax.jit(jax.grad(lambda *a, f=f: jnp.sum(weights * f(*a) ** 2), (0, 1)))(
            params, REGIONS
        )
        for f in (lambda p, r: outline(p, r, used), plainly)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4),
        ours,
        theirs,
    )


def test_programs_that_leave_the_machine_have_no_conditions(params):
    used = np.ones((2, 5), bool)
    with plain_operations():
        # A new function: jax keeps what it has traced, whatever the context.
        plain = str(jax.make_jaxpr(lambda *a: outline(*a))(params, REGIONS, used))
    assert "cond" not in plain


def test_the_box_head_gives_each_class_its_deltas(key):
    head = BoxHead(3, 6, jnp.float32)
    regions = jnp.zeros((2, 5, 7, 7, 4))
    shapes = jax.eval_shape(lambda: head.init_with_output(key, regions)[0])
    assert [x.shape for x in shapes] == [(2, 5, 3), (2, 5, 3, 4)]


def test_choose_class_takes_one_class_and_its_gradient_touches_no_other():
    values = jnp.arange(12.0).reshape(2, 2, 3)
    labels = jnp.array([[2, 0], [1, 1]])
    np.testing.assert_array_equal(choose_class(values, labels), [[2, 3], [7, 10]])
    gradient = jax.grad(lambda x: choose_class(x, labels).sum())(values)
    np.testing.assert_array_equal(gradient, jax.nn.one_hot(labels, 3))
