"""Arrays that a GPU's memory is to hold: XLA may not merge what makes them.

XLA merges cheap operations into all that read their result. Where several read it, each
then makes it anew; and where a matrix product does, the card's own tuning may part them
again and write the array once more. On other platforms nothing is done.
"""

from typing import TypeVar

import jax

from spectjax.ops.backend import is_for_gpu

T = TypeVar("T")


@jax.custom_vjp
def write_once(x: T) -> T:
    """Returns x, an array or a tree of them, in memory that all its readers read."""
    return jax.lax.optimization_barrier(x) if is_for_gpu() else x


write_once.defvjp(lambda x: (write_once(x), None), lambda _, dy: (dy,))
