"""Affine maps of counts and masks on the device, exact to the rounding of float32.

Batch, height and width axes are B, H and W. Coordinates are pixel indices, (row,
column), and the centre of the first pixel is (0, 0).

They are computed in fixed point: as float32 a coordinate near 255 would be off by 1e-5
pixels, and a mask's nearest pixel now and then another one than in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np

_FACTOR_BITS = 30  # of a factor's fraction: |factor| < 2
_HALF_BITS = 15  # a factor's halves times an index stay within 32 bits
_LARGEST = 256  # rows or columns of images whose coordinates stay within 512


def _count_bits(image_hw: tuple[int, int]) -> int:
    """Returns the bits of a coordinate's fraction: |coordinate| < 512, or < 2048."""
    return 22 if max(image_hw) <= _LARGEST else 20


def encode_maps(matrices: np.ndarray, image_hw: tuple[int, int]) -> np.ndarray:
    """Returns the inverses of maps in fixed point, as `warp` takes them.

    Args:
        matrices: invertible maps from input (x, y, 1) to output, float64, (N, 3, 3),
            as `spectjax.imaging.geometry` makes them.
        image_hw: (H, W) of the images that will be moved, pixels.

    Returns:
        int32, (N, 2, 3): a row of the input is the first line times (row, column, 1) of
        the output, a column is the second; factors count 2**-30, the last entries
        2**-22 pixels, 2**-20 of images of more than 256 rows or columns.

    Raises:
        ValueError: if a map takes pixels from 512 pixels away or more, 2048 of such
            images, or enlarges the distance between two pixels to two pixels or more.
    """
    to_input = np.linalg.inv(matrices)[:, [1, 0]][:, :, [1, 0, 2]]
    height, width = image_hw
    corners = np.array(
        [(y, x, 1) for y in (0, height - 1) for x in (0, width - 1)], np.float64
    )
    reach = np.abs(to_input @ corners.T).max(initial=0)
    factor = np.abs(to_input[:, :, :2]).max(initial=0)
    bits = _count_bits(image_hw)
    most = 2 ** (31 - bits)
    if reach >= most or factor >= 2 ** (31 - _FACTOR_BITS):
        raise ValueError(
            f"Expected maps that take pixels from less than {most} pixels away and "
            f"shrink images of {height}x{width} less than twofold, got one from "
            f"{reach:.1f} pixels away and a factor of {factor:.3g}."
        )
    units = np.array([2**_FACTOR_BITS, 2**_FACTOR_BITS, 2**bits], np.float64)
    return np.rint(to_input * units).astype(np.int32)


def warp(
    images: jax.Array,
    masks: jax.Array,
    maps: jax.Array,
    hw: tuple[int, int] | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns images and masks, each moved by a map of its own.

    Images are interpolated linearly, masks take the nearest pixel; both are zero where
    nothing came from, and beyond the border lie zeros that take part in the
    interpolation. The same as `spectjax.imaging.geometry.warp` with order 1 and 0.

    Args:
        images: any real dtype, (B, H, W).
        masks: any integer dtype, (B, H, W).
        maps: what `encode_maps` returns, one for each image, int32, (B, 2, 3).
        hw: (H', W'), the central part of the result to return; by default all of it.

    Returns:
        float32 and the dtype of `masks`, each (B, H', W').
    """
    batch, height, width = images.shape
    hw = hw or (height, width)
    bits = _count_bits((height, width))
    rows, columns = (_locate(maps[:, i], (height, width), hw) for i in (0, 1))
    (top, row_part), (left, column_part) = _split(rows, bits), _split(columns, bits)
    flat_images, flat_masks = images.reshape(batch, -1), masks.reshape(batch, -1)

    def find(row: jax.Array, column: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the flat index of a pixel, and whether there is one."""
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
        return row * width + column, inside

    # Without padding, since XLA:CPU would pad anew for each pixel that is read.
    counts = jnp.zeros((batch, *hw), jnp.float32)
    for row, row_weight in ((top, 1 - row_part), (top + 1, row_part)):
        for column, column_weight in ((left, 1 - column_part), (left + 1, column_part)):
            index, inside = find(row, column)
            weight = jnp.where(inside, row_weight * column_weight, 0.0)
            counts += weight * _take(flat_images, index).astype(jnp.float32)

    half = 1 << (bits - 1)
    index, inside = find((rows + half) >> bits, (columns + half) >> bits)
    nearest = _take(flat_masks, index)
    return counts, jnp.where(inside, nearest, jnp.zeros_like(nearest))


def _locate(
    line: jax.Array, image_hw: tuple[int, int], hw: tuple[int, int]
) -> jax.Array:
    """Returns one input coordinate of each output pixel in fixed point, (B, H', W').

    Args:
        line: factors of row and column and the offset, int32, (B, 3).
        image_hw: (H, W) of the whole output.
        hw: (H', W') of its central part.
    """
    bits = _count_bits(image_hw)
    along_rows = _multiply(line[:, 0], (image_hw[0] - hw[0]) // 2, hw[0], bits)
    along_columns = _multiply(line[:, 1], (image_hw[1] - hw[1]) // 2, hw[1], bits)
    offset = line[:, 2, None, None]
    return along_rows[:, :, None] + (along_columns[:, None, :] + offset)


def _multiply(factor: jax.Array, start: int, size: int, bits: int) -> jax.Array:
    """Returns factor (B,) times start, ..., start + size - 1, (B, size)."""
    index = start + jnp.arange(size, dtype=jnp.int32)[None, :]
    upper = (factor >> _HALF_BITS)[:, None] * index
    lower = (factor & ((1 << _HALF_BITS) - 1))[:, None] * index
    shift = _FACTOR_BITS - bits
    rounded = (lower + (1 << (shift - 1))) >> shift
    return (upper << (_HALF_BITS - shift)) + rounded


def _split(coordinates: jax.Array, bits: int) -> tuple[jax.Array, jax.Array]:
    """Returns the pixel at or before each coordinate, and the rest, in [0, 1)."""
    one = 1 << bits
    return coordinates >> bits, (coordinates & (one - 1)).astype(jnp.float32) / one


def _take(flat: jax.Array, index: jax.Array) -> jax.Array:
    """Returns the pixels of (B, N) at indices (B, H', W') that are known to fit."""
    taken = jnp.take_along_axis(
        flat, index.reshape(len(index), -1), axis=1, mode="promise_in_bounds"
    )
    return taken.reshape(index.shape)
