"""Moved and thinned training images, made anew on the device each step.

The moves are those of the data set's copies ([P1] Eq. 2-4), and so are the rules:
counts are interpolated linearly and rounded, masks take the nearest pixel, what enters
the canvas is background. Thinned images are those of a shorter scan, or of one with
another contrast. Batch, height and width axes are B, H and W.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from spectjax.imaging.geometry import list_moves
from spectjax.ops.affine import encode_maps, warp
from spectjax.system.messages import UserError
from spectjax.training.randomise import deliver, draw_maps, restore_noise


def augment(
    batch: Mapping[str, jax.Array],
    keys: jax.Array,
    *,
    hw: tuple[int, int] | None = None,
    count_level: float = 1.0,
    contrast: float = 0.0,
    randomisation: float = 0.0,
) -> dict[str, jax.Array]:
    """Returns a batch in which each image and its mask make a random move of their own.

    Images are thinned first (`thin_counts`), while their noise is a camera's.

    Mirrored or not, whole-pixel shifts and whole degrees, all of them equally likely,
    as [P1]'s copies are, the unchanged image among them. An image's move depends on
    its key alone: not on the batch, nor on the device that holds it.

    Interpolated counts are less noisy than a camera's: the variance of a rotated image
    falls to between 1/4 and 1 of Poisson's. Rounding, which the copies have too, keeps
    them counts and adds 1/12. Mirrored and shifted images keep their noise.

    Args:
        batch: `images`, counts, uint16, or scaled ones, float32, (B, H, W, 1); `masks`,
            uint8, (B, H, W); perhaps `instances`, numbers of lesions, likewise, which
            move as masks do; and whatever else, which stays as it is.
        keys: typed PRNG keys, (B,), one for each image.
        hw: (H', W'), the central part to keep after the move, pixels; by default all.
            What lies outside of it before the move can enter.
        count_level: least fraction of the counts that is kept.
        contrast: largest exponent of the contrast's change.
        randomisation: share of the images that are stretched as well and bear the
            traces of how images reach people (`training.randomise`), in [0, 1]. What is
            blacked out in them is background.

    Returns:
        The batch with `images`, (B, H', W', 1), and `masks` and `instances`, (B, H',
        W'), of the same dtypes.

    Raises:
        ValueError: if scaled images are to be thinned.
    """
    images = batch["images"]
    if count_level < 1 or contrast > 0:
        thinned = thin_counts(
            images[..., 0], keys, count_level=count_level, contrast=contrast
        )
        images = thinned[..., None]
    maps = jnp.asarray(_encode_moves(images.shape[1:3]))[draw_moves(keys)]
    if randomisation > 0:
        chosen, places, delivery_keys = _choose(keys, randomisation)
        stretched = jnp.asarray(_encode_stretches(images.shape[1:3]))[places]
        maps = jnp.where(chosen[:, None, None], stretched, maps)
    masks = batch["masks"]
    if "instances" in batch:
        # Both bytes of one number: what is read at random places is read once.
        masks = masks.astype(jnp.uint16) << 8 | batch["instances"]
    counts, masks = warp(images[..., 0], masks, maps, hw)
    if jnp.issubdtype(images.dtype, jnp.integer):
        counts = jnp.rint(counts)
    if randomisation > 0:
        noise_keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(delivery_keys)
        delivered = deliver(restore_noise(counts, noise_keys), delivery_keys)
        counts = jnp.where(chosen[:, None, None], delivered.images, counts)
        shown = delivered.kept | ~chosen[:, None, None]
        masks = jnp.where(shown, masks, jnp.zeros_like(masks))
    counts = counts.astype(images.dtype)
    moved = {**batch, "images": counts[..., None], "masks": masks}
    if "instances" in batch:
        moved["masks"] = (masks >> 8).astype(jnp.uint8)
        moved["instances"] = masks.astype(jnp.uint8)
    return moved


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


def thin_counts(
    counts: jax.Array, keys: jax.Array, *, count_level: float, contrast: float
) -> jax.Array:
    """Returns images of shorter scans and of other contrasts, with their true noise.

    Each count is kept with a probability q of its pixel. What is left of a Poisson
    variable of mean m is one of mean q m, so the result is what a camera would count
    at the rate q m; added or smoothed counts would not be. With the smoothed image s
    and its mean s0 over the pixels that counted,

        q = f r^g 4^-|g|,    r = min(max(s / s0, 1/4), 4)

    f is drawn from [count_level, 1], evenly in its logarithm, and g from [-contrast,
    contrast], evenly: a lesion of four times the mean becomes 4^g times as hot against
    it. s hardly depends on a single pixel's count (its weight is 1 %), so that the
    pixels' noise stays independent.

    Args:
        counts: integer, (B, H, W).
        keys: typed PRNG keys, (B,); the same as of `augment`.
        count_level: least f, in (0, 1].
        contrast: largest |g|, at least 0.

    Returns:
        Counts of the same dtype, (B, H, W).

    Raises:
        ValueError: if the dtype is not an integer, or a number is out of range.
    """
    if not jnp.issubdtype(counts.dtype, jnp.integer):
        raise UserError(
            f"Expected counts to thin, got {counts.dtype}: scaled images have no "
            "Poisson noise. Set count_level to 1 and contrast to 0."
        )
    if not 0 < count_level <= 1 or contrast < 0:
        raise UserError(
            "Expected a count_level in (0, 1] and a contrast of at least 0, got "
            f"{count_level} and {contrast}."
        )

    def thin(image: jax.Array, key: jax.Array) -> jax.Array:
        level_key, contrast_key, pixel_key = jax.random.split(
            jax.random.fold_in(key, 1), 3
        )
        level = jax.random.uniform(level_key, minval=np.log(count_level), maxval=0.0)
        exponent = jax.random.uniform(contrast_key, minval=-contrast, maxval=contrast)
        ratio = jnp.clip(_smooth(image), 1 / 4, 4)
        kept = jnp.exp(level) * ratio**exponent * 4 ** -jnp.abs(exponent)
        drawn = jax.random.binomial(pixel_key, image.astype(jnp.float32), kept)
        return drawn.astype(image.dtype)

    return jax.vmap(thin)(counts, keys)


def _smooth(image: jax.Array) -> jax.Array:
    """Returns an image (H, W) smoothed, over its mean where it counted; float32."""
    rows, columns = (jnp.asarray(_weigh_neighbours(size)) for size in image.shape)
    smoothed = rows @ image.astype(jnp.float32) @ columns.T
    counted = image > 0
    total = jnp.sum(jnp.where(counted, smoothed, 0))
    return smoothed * jnp.sum(counted) / jnp.where(total > 0, total, 1)


@functools.cache
def _weigh_neighbours(size: int) -> np.ndarray:
    """Returns a Gaussian of standard deviation 4 px as a matrix, float32, (size,) * 2.

    Beyond the border lie zeros.
    """
    distance = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-(distance**2) / (2 * 4.0**2))
    return (weights / (4.0 * np.sqrt(2 * np.pi))).astype(np.float32)


def draw_moves(keys: jax.Array) -> jax.Array:
    """Returns the place in `list_moves()` that each key (B,) draws, int32, (B,)."""
    return jax.vmap(lambda key: jax.random.randint(key, (), 0, len(list_moves())))(keys)


def _choose(keys: jax.Array, share: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns which images are randomised, (B,), their maps, (B,), and keys, (B,)."""

    def choose(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        chance, place, delivery = jax.random.split(jax.random.fold_in(key, 2), 3)
        chosen = jax.random.bernoulli(chance, share)
        return chosen, jax.random.randint(place, (), 0, len(draw_maps())), delivery

    return jax.vmap(choose)(keys)


_move = jax.jit(augment)


@functools.cache
def _encode_moves(image_hw: tuple[int, int]) -> np.ndarray:
    """Returns every move as `warp` takes it, int32, (number of moves, 2, 3)."""
    matrices = np.stack([move.matrix(image_hw) for move in list_moves()])
    return encode_maps(matrices, image_hw)


@functools.cache
def _encode_stretches(image_hw: tuple[int, int]) -> np.ndarray:
    """Returns the maps of `draw_maps` about the image's centre, as `_encode_moves`."""
    to_middle = np.eye(3)
    to_middle[:2, 2] = (1 - np.array(image_hw[::-1])) / 2
    return encode_maps(np.linalg.inv(to_middle) @ draw_maps() @ to_middle, image_hw)
