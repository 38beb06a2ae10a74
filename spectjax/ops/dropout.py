"""Dropout that does not depend on how a batch is spread over devices."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from spectjax.system.messages import UserError


class Dropout(nn.Module):
    """Sets numbers to zero at random and divides the others by how many are kept.

    With `axis_name` set, each device draws for the whole batch and takes its own rows:
    from one key, any number of devices drops the same.

    Attributes:
        rate: probability with which a number is dropped, in [0, 1).
        axis_name: axis of `jax.shard_map` or `jax.pmap` over which the batch is split.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps (B, ...) to (B, ...); in training it needs a key named `dropout`.

        Raises:
            ValueError: if the rate is not in [0, 1).
        """
        if not 0 <= self.rate < 1:
            raise UserError(f"Expected a dropout rate in [0, 1), got {self.rate}.")
        if not train or self.rate == 0:
            return x
        key, kept = self.make_rng("dropout"), 1 - self.rate
        rows, shape = x.shape[0], x.shape
        # While flax draws parameters there is no axis.
        if self.axis_name is None or self.is_initializing():
            mask = jax.random.bernoulli(key, kept, shape)
        else:
            whole = (rows * jax.lax.axis_size(self.axis_name), *shape[1:])
            mask = jax.lax.dynamic_slice_in_dim(
                jax.random.bernoulli(key, kept, whole),
                rows * jax.lax.axis_index(self.axis_name),
                rows,
            )
        return jnp.where(mask, x / kept, jnp.zeros_like(x))
