"""How a training step is spread over devices: the only home of mesh code."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spectjax.ops.convolution import compiler_options


def create_mesh() -> Mesh:
    """Returns all devices as one axis, `batch`."""
    return Mesh(np.array(jax.devices()), ("batch",))


def create_replicated(
    create: Callable[[jax.Array], Any], key: jax.Array, mesh: Mesh
) -> Any:
    """Returns the arrays that `create(key)` makes, with a copy on every device."""
    # XLA:CPU would optimise the random numbers of each parameter on its own, for ten
    # seconds; they are drawn only once.
    return jax.jit(
        create,
        out_shardings=NamedSharding(mesh, PartitionSpec()),
        compiler_options={"xla_backend_optimization_level": 0},
    )(key)


def compile_step(train_step: Callable[..., Any], mesh: Mesh) -> Any:
    """Jits `train_step(state, batch, key)` with the batch split over the mesh.

    State, key and results are replicated, and the old state's memory is reused. What
    the step computes over its batch axis is global: XLA adds the communication.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("batch"))
    return jax.jit(
        train_step,
        in_shardings=(replicated, split, replicated),
        out_shardings=replicated,
        donate_argnums=0,
        compiler_options=compiler_options(),
    )


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Checks that a batch splits evenly.

    Raises:
        ValueError: if it does not.
    """
    if batch_size % mesh.size:
        raise ValueError(
            f"--config.data.batch_size={batch_size} does not split evenly over "
            f"{mesh.size} devices; choose a multiple of {mesh.size}."
        )
