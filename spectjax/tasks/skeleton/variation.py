"""Sheets of other bodies, postures, cameras and archives than those that were drawn.

Simulated bodies have one skeleton, stretched, and a camera's counts. Real ones differ
more, and what reaches people was smoothed, windowed, scaled to grey levels and cut off:
domain randomisation, as in `spectjax.training.randomise`. Both views make one move, for
they are of one body, and a small one of their own. H, W are rows and columns of a
sheet, w = W / 2 those of a half.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from spectjax.bones.regions import NAMES, swap_sides
from spectjax.bones.sheet import UNKNOWN, WHITE

# Sizes relative to those drawn, and how much broader a body may be than long: real
# chests are slimmer than simulated ones.
_SIZE, _BREADTH = (0.85, 1.15), (0.80, 1.12)
_DEGREES, _SHIFT_PX = 4.0, 8.0
_BEND_PX, _LEAN_PX, _BULGE = 9.0, 4.0, 0.08  # up and down, sideways, in breadth
# How far the canvases of the two views may differ: what shines beside a body in one of
# them decides where that canvas lies.
_OWN_SIZE, _OWN_SHIFT_PX = (0.95, 1.05), ((-10.0, 10.0), (-6.0, 6.0))
_CUT, _LEAST_SHOWN = 0.2, 0.6  # how many frames end early, and how early
_DROPPED = 0.15  # of either view
_SPOTS = 6  # at most; bladder, bag, injection, lesions
_SPOT_PEAK, _SPOT_PX = (0.5, 60.0), (1.0, 10.0)
_SMOOTHED, _SIGMA_PX = 0.4, (0.4, 1.6)
_NOISY, _NOISE = 0.5, (0.003, 0.15)  # variance of bright tissue, of its square
_UNEVEN = 0.35  # how far uptake differs from one end of a body to the other, as e^x
_WINDOWED, _WINDOW = 0.3, (0.02, 0.3)
_CUT_OFF, _TOP = 0.3, (1.0, 5.0)
_GAMMA = (0.7, 1.4)
_IN_LEVELS, _LEVELS = 0.4, (20.0, 200.0)  # grey levels up to bright tissue
# As `spectjax.imaging.thorax.network.draw_canvas` has them.
_BRIGHTEST, _TISSUE, _BRIGHT = 1.6, 0.05, 85
_SACRUM = 1 + NAMES.index("sacrum")


def vary_sheets(
    batch: Mapping[str, jax.Array], keys: jax.Array
) -> dict[str, jax.Array]:
    """Returns a batch whose bodies are stretched, turned, mirrored and seen otherwise.

    Args:
        batch: `images`, grey, uint16, (B, H, W, 1), and `masks`, uint8, (B, H, W); what
            else there is stays as it is.
        keys: typed PRNG keys, (B,), one for each sheet.
    """
    images, masks = jax.vmap(_vary)(batch["images"][..., 0], batch["masks"], keys)
    return {**batch, "images": images[..., None], "masks": masks}


class _Draws:
    """Random numbers of one sheet, each by its own name."""

    def __init__(self, key: jax.Array) -> None:
        self._key, self._number = key, 0

    def key(self) -> jax.Array:
        """Returns a fresh key."""
        self._number += 1
        return jax.random.fold_in(self._key, self._number)

    def between(
        self, limits: tuple[float, float], shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draws numbers evenly between two."""
        low, high = limits
        return jax.random.uniform(self.key(), shape, minval=low, maxval=high)

    def log_between(
        self, limits: tuple[float, float], shape: tuple[int, ...] = ()
    ) -> jax.Array:
        """Draws numbers evenly in their logarithm."""
        low, high = (float(np.log(limit)) for limit in limits)
        return jnp.exp(self.between((low, high), shape))

    def happens(self, share: float, shape: tuple[int, ...] = ()) -> jax.Array:
        """Tosses a coin, or several."""
        return jax.random.bernoulli(self.key(), share, shape)


def _vary(
    image: jax.Array, mask: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns one sheet (H, W) and its mask, varied."""
    draws = _Draws(key)
    height, width = image.shape
    halves = image.reshape(height, 2, width // 2).swapaxes(0, 1).astype(jnp.float32)
    labels = mask.reshape(height, 2, width // 2).swapaxes(0, 1)
    halves, labels = _move(halves, labels, draws)
    counts = (halves * (_BRIGHTEST / WHITE)) ** 2  # in those of bright tissue
    counts = _deliver(_add_spots(counts, labels, draws), draws)
    halves = jnp.rint(WHITE * _scale(counts))
    lost = draws.happens(_DROPPED, (2,))
    lost &= ~lost.all()
    halves = jnp.where(lost[:, None, None], 0, halves)
    labels = jnp.where(lost[:, None, None], jnp.uint8(UNKNOWN), labels)
    return (
        halves.swapaxes(0, 1).reshape(height, width).astype(image.dtype),
        labels.swapaxes(0, 1).reshape(height, width),
    )


def _move(
    halves: jax.Array, labels: jax.Array, draws: _Draws
) -> tuple[jax.Array, jax.Array]:
    """Returns halves (2, H, w) and their labels after one move of the body."""
    _, height, width = halves.shape
    body = ((labels > 0) & (labels != UNKNOWN)).any(axis=(0, 2))
    top, bottom = jnp.argmax(body), height - jnp.argmax(body[::-1])
    # A frame that ends early shows a part of the body, and that part larger.
    shown = jnp.where(draws.happens(_CUT), draws.between((_LEAST_SHOWN, 1)), 1.0)
    headless = draws.happens(0.15) & (shown < 1)
    length = shown * (bottom - top)
    first = jnp.where(headless, bottom - length, top)
    last = first + length
    first = jnp.where(headless, first, -height)
    last = jnp.where(headless | (shown == 1), 2.0 * height, last)
    larger = shown ** -draws.between((0.0, 1.0))
    middle = jnp.where(headless, bottom - length / 2, top + length / 2)
    middle = jnp.where(body.any() & (shown < 1), middle, (height - 1) / 2)

    size = larger * draws.log_between(_SIZE)
    breadth = size * draws.log_between(_BREADTH)
    angle = jnp.radians(draws.between((-_DEGREES, _DEGREES)))
    shift = draws.between((-_SHIFT_PX, _SHIFT_PX), (2,))
    y = jnp.arange(height)[:, None] - (height - 1) / 2 - shift[0]
    x = jnp.arange(width)[None] - (width - 1) / 2 - shift[1]
    y, x = (
        jnp.cos(angle) * y - jnp.sin(angle) * x,
        jnp.sin(angle) * y + jnp.cos(angle) * x,
    )
    along = y / height
    row = y / size + middle + _BEND_PX * _wave(along, draws)
    column = x / (breadth * jnp.exp(_BULGE * _wave(along, draws)))
    column += _LEAN_PX * _wave(along, draws)
    own = draws.log_between(_OWN_SIZE, (2,))[:, None, None]
    down, across = (draws.between(px, (2,))[:, None, None] for px in _OWN_SHIFT_PX)
    row = middle + own * (row - middle)[None] + down
    column = own * column[None] + across
    mirrored = draws.happens(0.5)
    column = jnp.where(mirrored, -column, column) + (width - 1) / 2

    inside = (row >= first) & (row < last)
    found = jnp.where(inside, _sample(halves, row, column), 0)
    nearest = _take(labels, jnp.rint(row), jnp.rint(column), outside=0)
    missing = (labels == UNKNOWN).all(axis=(1, 2), keepdims=True)
    nearest = jnp.where(inside, nearest, jnp.uint8(0))
    table = np.arange(256, dtype=np.uint8)
    table[: len(swap_sides())] = swap_sides()
    nearest = jnp.where(mirrored, jnp.asarray(table)[nearest], nearest)
    return found, jnp.where(missing, jnp.uint8(UNKNOWN), nearest)


def _wave(along: jax.Array, draws: _Draws) -> jax.Array:
    """Returns a smooth curve of places along the body, about from -1 to 1."""
    turns = draws.between((0.5, 3.0), (2,))
    phases = draws.between((0.0, 2 * np.pi), (2,))
    sizes = draws.between((0.0, 1.0), (2,)) / turns
    first, second = (
        sizes[i] * jnp.sin(2 * np.pi * turns[i] * along + phases[i]) for i in (0, 1)
    )
    return first + second


def _sample(halves: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    """Returns halves (2, H, w) at places between pixels, (2, H, w) each."""
    top, left = jnp.floor(row), jnp.floor(column)
    down, right = row - top, column - left
    return (
        (1 - down) * (1 - right) * _take(halves, top, left, outside=0)
        + (1 - down) * right * _take(halves, top, left + 1, outside=0)
        + down * (1 - right) * _take(halves, top + 1, left, outside=0)
        + down * right * _take(halves, top + 1, left + 1, outside=0)
    )


def _take(
    halves: jax.Array, row: jax.Array, column: jax.Array, *, outside: int
) -> jax.Array:
    """Returns halves (2, H, w) at whole places, (2, H, w) each."""
    _, height, width = halves.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1)
    index = index.astype(jnp.int32).reshape(2, -1)
    taken = jnp.take_along_axis(halves.reshape(2, -1), index, axis=1)
    return jnp.where(
        inside, taken.reshape(halves.shape), jnp.asarray(outside, halves.dtype)
    )


def _add_spots(counts: jax.Array, labels: jax.Array, draws: _Draws) -> jax.Array:
    """Returns counts (2, H, w) with hot spots, each seen from both sides.

    One lies at the sacrum, as a bladder does; the others anywhere.
    """
    _, height, width = counts.shape
    sacrum = labels == _SACRUM
    area = jnp.maximum(sacrum.sum(), 1)
    y = jnp.arange(height, dtype=jnp.float32)[None]
    x = jnp.arange(width, dtype=jnp.float32)[None]
    down, across = sacrum.sum(axis=(0, 2)), sacrum.sum(axis=(0, 1))
    pelvis = jnp.stack([jnp.sum(down * y[0]), jnp.sum(across * x[0])]) / area
    places = draws.between((0.0, 1.0), (_SPOTS, 2)) * jnp.array([[height, width]])
    near = pelvis + draws.between((-8.0, 8.0), (2,)) + jnp.array([6.0, 0.0])
    places = places.at[0].set(jnp.where(sacrum.any(), near, places[0]))
    there = draws.happens(0.35, (_SPOTS,))
    peaks = there * draws.log_between(_SPOT_PEAK, (_SPOTS,))
    sizes = draws.log_between(_SPOT_PX, (_SPOTS, 2))
    # A body is as thick as it is: one side sees less of a spot.
    seen = draws.log_between((0.1, 1.0), (_SPOTS,))
    nearer = draws.happens(0.5, (_SPOTS,))
    shares = jnp.stack([jnp.where(nearer, 1, seen), jnp.where(nearer, seen, 1)])
    rows = jnp.exp(-(((y - places[:, :1]) / sizes[:, :1]) ** 2) / 2)
    columns = jnp.exp(-(((x - places[:, 1:]) / sizes[:, 1:]) ** 2) / 2)
    return counts + jnp.einsum("vs,s,sy,sx->vyx", shares, peaks, rows, columns)


def _deliver(counts: jax.Array, draws: _Draws) -> jax.Array:
    """Returns counts (2, H, w) as cameras and archives hand them over."""
    _, height, width = counts.shape
    down = _wave(jnp.linspace(-0.5, 0.5, height), draws)
    across = _wave(jnp.linspace(-0.25, 0.25, width), draws)
    counts *= jnp.exp(_UNEVEN * (down[:, None] + across[None]) / 2)[None]
    variance = draws.happens(_NOISY) * draws.log_between(_NOISE) * counts
    noise = jax.random.normal(draws.key(), counts.shape)
    counts = jnp.maximum(counts + jnp.sqrt(variance) * noise, 0)
    sigma = jnp.where(draws.happens(_SMOOTHED), draws.between(_SIGMA_PX), 1e-3)
    counts = _weigh(height, sigma)[None] @ counts @ _weigh(width, sigma)[None]
    counts -= draws.happens(_WINDOWED) * draws.between(_WINDOW)
    top = jnp.where(draws.happens(_CUT_OFF), draws.log_between(_TOP), 1e6)
    counts = jnp.clip(counts, 0, top)
    # The root's slope at 0 is infinite, and nothing learns from it.
    counts = jnp.where(counts > 0, jnp.maximum(counts, 1e-9), 0) ** draws.log_between(
        _GAMMA
    )
    levels = draws.log_between(_LEVELS)
    in_levels = draws.happens(_IN_LEVELS)
    return jnp.where(in_levels, jnp.floor(counts * levels) / levels, counts)


def _weigh(size: int, sigma: jax.Array) -> jax.Array:
    """Returns a Gaussian as a symmetric matrix whose inner rows add up to 1."""
    distance = jnp.subtract.outer(jnp.arange(size), jnp.arange(size))
    weights = jnp.exp(-((distance / sigma) ** 2) / 2)
    return weights / weights[size // 2].sum()


def _scale(counts: jax.Array) -> jax.Array:
    """Returns counts (2, H, w) as grey, as a canvas is drawn, from 0 to 1.

    Percentiles are those of every fourth row and column.
    """
    some = jnp.sort(counts[:, ::4, ::4].reshape(2, -1), axis=1)
    n = some.shape[1]
    limit = _TISSUE * some[:, 95 * n // 100]
    tissue = jnp.sum(some > limit[:, None], axis=1)
    place = n - 1 - (tissue * (100 - _BRIGHT)) // 100
    bright = jnp.take_along_axis(some, place[:, None], axis=1)[..., None]
    return jnp.minimum(jnp.sqrt(counts / jnp.maximum(bright, 1e-6)) / _BRIGHTEST, 1)
