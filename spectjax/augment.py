"""Mirrored, translated and rotated training images, made anew on the device each step.

The moves are those of the data set's copies ([P1] Eq. 2-4), and so are the rules:
counts are interpolated linearly and rounded, masks take the nearest pixel, what enters
the canvas is background. Batch, height and width axes are B, H and W.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from spectjax.imaging.geometry import list_moves
from spectjax.ops.affine import encode_maps, warp


def augment(
    batch: Mapping[str, jax.Array],
    keys: jax.Array,
    *,
    hw: tuple[int, int] | None = None,
) -> dict[str, jax.Array]:
    """Returns a batch in which each image and its mask make a random move of their own.

    Mirrored or not, whole-pixel shifts and whole degrees, all of them equally likely,
    as [P1]'s copies are, the unchanged image among them. An image's move depends on
    its key alone: not on the batch, nor on the device that holds it.

    Interpolated counts are less noisy than a camera's: the variance of a rotated image
    falls to between 1/4 and 1 of Poisson's. Rounding, which the copies have too, keeps
    them counts and adds 1/12. Mirrored and shifted images keep their noise.

    Args:
        batch: `images`, counts, uint16, or scaled ones, float32, (B, H, W, 1); `masks`,
            uint8, (B, H, W); and whatever else, which stays as it is.
        keys: typed PRNG keys, (B,), one for each image.
        hw: (H', W'), the central part to keep after the move, pixels; by default all.
            What lies outside of it before the move can enter.

    Returns:
        The batch with `images`, (B, H', W', 1), and `masks`, (B, H', W'), of the same
        dtypes.
    """
    images = batch["images"]
    maps = jnp.asarray(_encode_moves(images.shape[1:3]))[draw_moves(keys)]
    counts, masks = warp(images[..., 0], batch["masks"], maps, hw)
    if jnp.issubdtype(images.dtype, jnp.integer):
        counts = jnp.rint(counts)
    counts = counts.astype(images.dtype)
    return {**batch, "images": counts[..., None], "masks": masks}


def move_images(images: np.ndarray, seed: int, *, batch_size: int = 32) -> np.ndarray:
    """Returns images each of which has made a random move of its own, see `augment`.

    Args:
        images: counts, uint16, or scaled ones, float32, (N, H, W, 1).
        seed: of the moves; the same seed, the same moves.
        batch_size: images that are moved at once.

    Returns:
        Images of the same shape and dtype.
    """
    keys = jax.random.split(jax.random.key(seed), len(images))
    moved = np.empty_like(images)
    for start in range(0, len(images), batch_size):
        rows = np.arange(start, start + batch_size)
        # The last batch is filled up, so that one shape is compiled.
        rows = np.minimum(rows, len(images) - 1)
        batch = {
            "images": images[rows],
            "masks": np.zeros((batch_size, *images.shape[1:3]), np.uint8),
        }
        found = _move(batch, keys[rows])["images"]
        moved[rows] = found
    return moved


def draw_moves(keys: jax.Array) -> jax.Array:
    """Returns the place in `list_moves()` that each key (B,) draws, int32, (B,)."""
    return jax.vmap(lambda key: jax.random.randint(key, (), 0, len(list_moves())))(keys)


_move = jax.jit(augment)


@functools.cache
def _encode_moves(image_hw: tuple[int, int]) -> np.ndarray:
    """Returns every move as `warp` takes it, int32, (number of moves, 2, 3)."""
    matrices = np.stack([move.matrix(image_hw) for move in list_moves()])
    return encode_maps(matrices, image_hw)
