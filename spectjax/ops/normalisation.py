"""From counts to the inputs of a network; batch, height and width are B, H and W."""

import jax
import jax.numpy as jnp


def normalise_by_range(images: jax.Array) -> jax.Array:
    """Returns (c - min c) / (max c - min c) of each image's counts c.

    [P1] does not say how counts become inputs; this is what making a picture of them
    does.

    Args:
        images: counts >= 0, any integer or float dtype, (B, H, W, 1).

    Returns:
        float32 in [0, 1], (B, H, W, 1); all zero where an image is constant.
    """
    counts = images.astype(jnp.float32)
    low = counts.min(axis=(1, 2, 3), keepdims=True)
    span = counts.max(axis=(1, 2, 3), keepdims=True) - low
    return (counts - low) / jnp.where(span > 0, span, 1)


def normalise_by_root(images: jax.Array) -> jax.Array:
    """Returns sqrt(c / m) of each image's counts c, m the mean of its positive counts.

    The root makes Poisson noise equally strong everywhere, and one hot pixel moves m
    far less than the maximum.

    Args:
        images: counts >= 0, any integer or float dtype, (B, H, W, 1).

    Returns:
        float32, (B, H, W, 1); all zero where an image is.
    """
    counts = images.astype(jnp.float32)
    total = counts.sum(axis=(1, 2, 3), keepdims=True)
    positive = jnp.sum(counts > 0, axis=(1, 2, 3), keepdims=True)
    return jnp.sqrt(counts * positive / jnp.where(total > 0, total, 1))


def scale_counts(images: jax.Array) -> jax.Array:
    """Returns c / 255 of counts c: no normalisation, since all images share the factor.

    [P2] trains on D1 and D3 "without normalization"; counts as they are let the loss
    of its networks overflow within some steps. 255 is the factor that programs for
    pictures use.

    Args:
        images: counts, any integer or float dtype, (B, H, W, 1).
    """
    return images.astype(jnp.float32) / 255


def keep_images(images: jax.Array) -> jax.Array:
    """Returns the images as they are, float32: [P2]'s D2 comes normalised."""
    return images.astype(jnp.float32)


def normalise_as_photograph(images: jax.Array) -> jax.Array:
    """Returns what networks that learnt from ImageNet expect of a grey picture.

    (x - 0.449) / 0.226 of x = `normalise_by_range`: the means over the three colours of
    the mean and the standard deviation that torchvision subtracts and divides by.
    """
    return (normalise_by_range(images) - 0.449) / 0.226


NORMALISATIONS = {
    "min_max": normalise_by_range,
    "square_root": normalise_by_root,
    "divide_by_255": scale_counts,
    "none": keep_images,
    "imagenet": normalise_as_photograph,
}
