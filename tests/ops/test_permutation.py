"""Rows in another order."""

import jax
import jax.numpy as jnp
import numpy as np

from spectjax.ops.permutation import permute

ROWS = jnp.arange(12.0).reshape(4, 3)
ORDER = jnp.array([2, 0, 3, 1])
INVERSE = jnp.array([1, 3, 0, 2])


def test_permute_reads_rows_and_the_inverse_brings_them_back():
    there = permute(ROWS, ORDER, INVERSE)
    np.testing.assert_array_equal(there, np.asarray(ROWS)[[2, 0, 3, 1]])
    np.testing.assert_array_equal(permute(there, INVERSE, ORDER), ROWS)


def test_the_gradient_is_that_of_an_indexed_read():
    weights = jnp.arange(12.0).reshape(4, 3) ** 2

    def total(rows, read):
        return jnp.sum(weights * read(rows) ** 2)

    ours = jax.grad(total)(ROWS, lambda rows: permute(rows, ORDER, INVERSE))
    plain = jax.grad(total)(ROWS, lambda rows: rows[ORDER])
    np.testing.assert_allclose(ours, plain)
