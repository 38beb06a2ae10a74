"""Masks cut to the grid of a box and put back onto the image.

An image has (H, W) pixels, F or D boxes, and a box's grid S x S cells. Boxes are
(y0, x0, y1, x1), continuous, pixels: pixel i covers [i, i + 1).
"""

import math

import jax
import jax.numpy as jnp

from spectjax.ops.hats import average_bins, place_samples, weigh_cells


def crop_masks(
    instances: jax.Array,
    numbers: jax.Array,
    boxes: jax.Array,
    size: int,
    *,
    torchvision: bool = False,
) -> jax.Array:
    """Returns what a mask head is to predict: the mask of each box's lesion inside it.

    That is ROIAlign of the mask (He et al. 2017, Sec. 3), with the mean of two by two
    samples in each cell. torchvision takes as many samples in each direction as a cell
    has pixels, rounded up, at places half a pixel further down and right, from boxes of
    at least one pixel; the boxes must lie on the image, and samples beyond it are 0.

    Args:
        instances: number of the lesion of each pixel, uint8, (H, W).
        numbers: lesion of each box, int32, (F,); 0 for none.
        boxes: float32, (F, 4).
        size: S.
        torchvision: follow torchvision.

    Returns:
        Between 0 and 1, zeros for boxes that are empty or have no lesion, float32,
        (F, S, S).
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    used = (high > low).all(axis=1) & (numbers > 0)
    hw = instances.shape
    if torchvision:
        rows, columns = (
            _weigh_adaptively(low[:, i], high[:, i], size, hw[i]) for i in range(2)
        )
    else:
        rows, columns = (
            _weigh_pixels(low[:, i] - 0.5, high[:, i] - 0.5, size, hw[i])
            for i in range(2)
        )
    masks = (instances[None] == numbers[:, None, None]) & used[:, None, None]
    parts = jnp.einsum(
        "fyh,fhw->fyw", rows, masks.astype(jnp.float32), precision="highest"
    )
    return jnp.einsum("fyw,fxw->fyx", parts, columns, precision="highest")


def _weigh_pixels(low: jax.Array, high: jax.Array, size: int, pixels: int) -> jax.Array:
    """Returns the weight of each pixel in each cell, (F, S, pixels)."""
    positions = place_samples(low, high, 2 * size, pixels)
    return average_bins(weigh_cells(positions, jnp.arange(pixels)), size)


def _weigh_adaptively(
    low: jax.Array, high: jax.Array, size: int, pixels: int
) -> jax.Array:
    """Returns the weight of each pixel in each cell as torchvision's, likewise."""
    cell = jnp.maximum(high - low, 1.0) / size
    count = jnp.ceil(cell)[:, None]
    most = math.ceil(pixels / size)
    sample = jnp.arange(most, dtype=jnp.float32)[None, :]
    within = (sample + 0.5) / count * cell[:, None]
    bins = jnp.arange(size, dtype=jnp.float32)[None, :]
    starts = low[:, None] + bins * cell[:, None]
    positions = starts[:, :, None] + within[:, None, :]
    hats = weigh_cells(jnp.clip(positions, 0, pixels - 1), jnp.arange(pixels))
    counted = (sample < count)[:, None, :] & (positions <= pixels)
    weights = jnp.where(counted, 1 / count[:, None, :], 0.0)
    return (hats * weights[..., None]).sum(axis=2)


def paste_masks(
    probs: jax.Array,
    boxes: jax.Array,
    hw: tuple[int, int],
    *,
    torchvision: bool = False,
) -> jax.Array:
    """Returns masks on the image, interpolated linearly and zero far from their boxes.

    A pixel takes the value at its centre, where a mask is zero beyond its outermost
    cells. torchvision pads masks by a ring of zeros and stretches them over the boxes'
    pixels, whose coordinates it truncates to integers, the last one included: that
    enlarges small masks.

    Args:
        probs: of each cell, float32, (D, S, S).
        boxes: float32, (D, 4).
        hw: (H, W).
        torchvision: follow torchvision.

    Returns:
        Zeros for boxes that are empty, float32, (D, H, W).
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    used = (high > low).all(axis=1)
    size = probs.shape[-1]
    weigh = _stretch_padded if torchvision else _stretch
    rows, columns = (weigh(low[:, i], high[:, i], size, hw[i]) for i in range(2))
    rows = jnp.where(used[:, None, None], rows, 0.0)
    parts = jnp.einsum("dhy,dyx->dhx", rows, probs, precision="highest")
    return jnp.einsum("dhx,dwx->dhw", parts, columns, precision="highest")


def _stretch(low: jax.Array, high: jax.Array, size: int, pixels: int) -> jax.Array:
    """Returns the weight of each cell at each pixel, (D, pixels, S)."""
    extent = jnp.where(high > low, high - low, 1.0)[:, None]
    centres = jnp.arange(pixels, dtype=jnp.float32)[None, :] + 0.5
    positions = (centres - low[:, None]) / extent * size - 0.5
    return weigh_cells(positions, jnp.arange(size))


def _stretch_padded(
    low: jax.Array, high: jax.Array, size: int, pixels: int
) -> jax.Array:
    """Returns the weight of each cell at each pixel as torchvision's, likewise."""
    padded = size + 2
    centre, half = (high + low) * 0.5, (high - low) * 0.5 * (padded / size)
    first, last = jnp.trunc(centre - half)[:, None], jnp.trunc(centre + half)[:, None]
    number = jnp.maximum(last - first + 1, 1.0)
    pixel = jnp.arange(pixels, dtype=jnp.float32)[None, :]
    positions = (pixel - first + 0.5) * (padded / number) - 0.5
    # Cell 0 is the ring's.
    cells = jnp.arange(1, size + 1)
    weights = weigh_cells(jnp.clip(positions, 0, padded - 1), cells)
    covered = (pixel >= first) & (pixel <= last)
    return jnp.where(covered[:, :, None], weights, 0.0)
