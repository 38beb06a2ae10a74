"""What is computed on the CPU, whatever computes the rest."""

from collections.abc import Callable
from typing import Any

import jax


def find_cpu() -> jax.Device | None:
    """Returns the CPU as jax sees it; None where JAX_PLATFORMS leaves it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def compute_on_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function` as one that computes on the CPU and gives numpy arrays.

    For what runs once, such as drawing a model's first weights: for a GPU that compiles
    for minutes, and each kind of device rounds in its own way. Where jax has no CPU,
    the default device computes it.
    """
    cpu = find_cpu()
    # XLA:CPU would optimise the random numbers of each parameter on its own, for ten
    # seconds.
    options = {"xla_backend_optimization_level": 0} if cpu is not None else None
    compiled = jax.jit(function, compiler_options=options)

    def compute(*arguments: Any) -> Any:
        with jax.default_device(cpu):
            return jax.device_get(compiled(*jax.device_put(arguments, cpu)))

    return compute
