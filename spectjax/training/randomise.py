"""Images as they reach people: domain randomisation of training images ([T]).

A camera counts; what a reader or a research archive has was smoothed, scaled to grey
levels, cut off, windowed, compressed, or had parts blacked out. A model that has seen
counts alone takes such traces for disease. Each image draws which of them it bears.
Batch, height and width axes are B, H and W.

[T] J. Tobin et al., Domain randomization for transferring deep neural networks from
simulation to the real world, IROS 2017.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spectjax.imaging.geometry import MAX_DX, MAX_DY, SIZES

# How many of the images bear a trace.
_SMOOTHED, _WINDOWED, _GREY, _COMPRESSED, _DARK_CLEARED = 0.35, 0.2, 0.6, 0.6, 0.5
_HALVED, _SLANTED, _HOLED, _BESIDE = 0.35, 0.3, 0.3, 0.15
_SIGMA_PX = (0.4, 1.3)  # of the smoothing
_WINDOW = (0.05, 0.5)  # what counts as nothing, in means of the positive counts
# Grey level of the mean of what is positive: 6 to 60 where whole-body scans were made
# pictures of, their bladder or an injection at 255.
_MEAN_LEVEL = (4.0, 60.0)
_QUALITY = (70.0, 98.0)  # of JPEG, in the libjpeg's scale
_DARKEST = 2.5  # grey levels of JPEG's noise around a body
_BLOCK = 8  # of JPEG
# What linear interpolation takes of Poisson's variance, averaged over places between
# pixels: it leaves (2/3)^2.
_LOST_VARIANCE = 5 / 9
_RATE_SIGMA_PX = 1.5
# Of whole bodies: how much the logarithm of brightness differs, and at how many rows.
_ALONG_SPREAD, _ALONG_ROWS = 0.25, 10
_ASPECT, _DEGREES = 0.06, 10.0  # bodies are not similar to each other
_MAPS = 4096
# ITU-T T.81, table K.1: how coarsely each frequency of brightness is kept.
_COARSENESS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


class Delivered(NamedTuple):
    """Images as they are handed over.

    Attributes:
        images: counts or grey levels, whole numbers, float32, (B, H, W).
        kept: whether a pixel is still shown, and not blacked out, bool, (B, H, W).
    """

    images: jax.Array
    kept: jax.Array


@functools.cache
def draw_maps() -> np.ndarray:
    """Returns maps that stretch, turn, mirror and shift, float64, (4096, 3, 3).

    They map points (x, y, 1), in pixels from the middle of the image. The shifts are
    those of [P1]'s copies.
    """
    rng = np.random.default_rng(0)
    size = np.exp(rng.uniform(np.log(SIZES[0]), np.log(SIZES[1]), _MAPS))
    aspect = np.exp(rng.uniform(-_ASPECT, _ASPECT, _MAPS))
    angle = np.radians(rng.uniform(-_DEGREES, _DEGREES, _MAPS))
    mirror = rng.choice([-1.0, 1.0], _MAPS)
    maps = np.zeros((_MAPS, 3, 3))
    maps[:, 0, 0] = np.cos(angle) * size * aspect * mirror
    maps[:, 0, 1] = -np.sin(angle) * size / aspect
    maps[:, 1, 0] = np.sin(angle) * size * aspect * mirror
    maps[:, 1, 1] = np.cos(angle) * size / aspect
    maps[:, 0, 2] = rng.uniform(-MAX_DX, MAX_DX, _MAPS)
    maps[:, 1, 2] = rng.uniform(-MAX_DY, MAX_DY, _MAPS)
    maps[:, 2, 2] = 1
    return maps


def restore_noise(counts: jax.Array, keys: jax.Array) -> jax.Array:
    """Returns interpolated counts with a camera's noise, float32, (B, H, W).

    Interpolation takes more than half of its variance, and a model that learned from
    such images takes the noise of others for small lesions. What is added is normal, of
    the variance that is missing on the average, with the smoothed image as the rate;
    whole numbers, at least 0.

    Args:
        counts: any real dtype, (B, H, W).
        keys: typed PRNG keys, (B,), one for each image.
    """

    def restore(image: jax.Array, key: jax.Array) -> jax.Array:
        rate = _smooth(image, jnp.float32(_RATE_SIGMA_PX))
        noise = jax.random.normal(key, image.shape) * jnp.sqrt(_LOST_VARIANCE * rate)
        return jnp.maximum(jnp.rint(image + noise), 0)

    return jax.vmap(restore)(counts.astype(jnp.float32), keys)


def deliver(counts: jax.Array, keys: jax.Array) -> Delivered:
    """Returns images with the traces of how they reached people, and what is left.

    A whole body, an image at least twice as high as wide, is brighter in some rows than
    in others. Then in this order, each with a probability of its own: with a hot vein
    or a drop of urine at the side, which the edge of the picture cuts; smoothed;
    windowed, so that soft tissue is 0; blacked out beside a ragged line (half of a
    chest), above a slanted one or in a hole (a kidney, a bladder); scaled to grey
    levels that end at 255; compressed as JPEG does; cleared of the darkest levels.

    Args:
        counts: any real dtype, (B, H, W).
        keys: typed PRNG keys, (B,), one for each image.
    """
    return jax.vmap(_deliver)(counts.astype(jnp.float32), keys)


def _deliver(image: jax.Array, key: jax.Array) -> Delivered:
    """Returns one image (H, W) as it is handed over."""
    # A name for each draw: a change to one leaves the others as they were.
    names = (
        "beside", "smoothed", "sigma", "windowed", "window", "parts", "grey", "level",
        "compressed", "quality", "cleared",
    )  # fmt: skip
    drawn = dict(zip(names, jax.random.split(key, len(names)), strict=True))

    def happens(name: str, share: float) -> jax.Array:
        return jax.random.bernoulli(drawn[name], share)

    def draw(name: str, limits: tuple[float, float]) -> jax.Array:
        return jax.random.uniform(drawn[name], minval=limits[0], maxval=limits[1])

    if _is_whole_body(image):
        image *= _vary_along(len(image), jax.random.fold_in(key, len(names)))
    image += _glow_beside(image, drawn["beside"])
    sigma = jnp.where(happens("smoothed", _SMOOTHED), draw("sigma", _SIGMA_PX), 1e-3)
    image = _smooth(image, sigma)
    window = jnp.where(happens("windowed", _WINDOWED), draw("window", _WINDOW), 0)
    image = jnp.maximum(image - window * _mean_positive(image), 0)
    relative = _smooth(image, jnp.float32(1.0)) / _mean_positive(image)
    kept = _draw_parts(relative, drawn["parts"])
    image = jnp.where(kept, image, 0)

    level = jnp.exp(draw("level", (np.log(_MEAN_LEVEL[0]), np.log(_MEAN_LEVEL[1]))))
    grey = jnp.minimum(jnp.floor(image * level / _mean_positive(image)), 255)
    pressed = _compress(grey, draw("quality", _QUALITY))
    cleared = happens("cleared", _DARK_CLEARED)
    pressed = jnp.where(cleared & (pressed < _DARKEST), 0, pressed)
    grey = jnp.where(happens("compressed", _COMPRESSED), pressed, grey)
    image = jnp.where(happens("grey", _GREY), grey, jnp.rint(image))
    return Delivered(image, kept)


def _is_whole_body(image: jax.Array) -> bool:
    """Returns whether an image (H, W) is at least twice as high as wide."""
    height, width = image.shape
    return height >= 2 * width


def _vary_along(height: int, key: jax.Array) -> jax.Array:
    """Returns a smooth factor for each row, (H, 1).

    How hot the pelvis is, beside ribs and legs, differs more between people than
    between simulated ones: that alone is no disease.
    """
    knots = _ALONG_SPREAD * jax.random.normal(key, (_ALONG_ROWS,))
    rows = jnp.linspace(0, _ALONG_ROWS - 1, height)
    return jnp.exp(jnp.interp(rows, jnp.arange(_ALONG_ROWS), knots))[:, None]


def _glow_beside(image: jax.Array, key: jax.Array) -> jax.Array:
    """Returns a hot spot at one side of what an image (H, W) shows, or nothing."""
    chance, side, place, size, heat = jax.random.split(key, 5)
    rows, columns = (jnp.any(image > 0, axis=axis) for axis in (1, 0))
    left, right = _find_ends(columns)
    top, bottom = _find_ends(rows)
    inwards, down = jax.random.uniform(
        place, (2,), minval=jnp.array([-6.0, 0.3]), maxval=jnp.array([5.0, 1.0])
    )
    left_side = jax.random.bernoulli(side)
    column = jnp.where(left_side, left + inwards, right - inwards)
    row = top + down * (bottom - top)
    tall, wide = jax.random.uniform(size, (2,), minval=1.5, maxval=6.0)
    y, x = jnp.arange(image.shape[0])[:, None], jnp.arange(image.shape[1])[None]
    spot = jnp.exp(-(((y - row) / tall) ** 2 + ((x - column) / wide) ** 2) / 2)
    peak = jnp.exp(jax.random.uniform(heat, minval=np.log(2.0), maxval=np.log(40.0)))
    shown = rows[:, None] & columns[None] & jax.random.bernoulli(chance, _BESIDE)
    return jnp.where(shown, jnp.rint(spot * peak * _mean_positive(image)), 0)


def _find_ends(shown: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the first and the last place (N,) that is True."""
    return jnp.argmax(shown), len(shown) - 1 - jnp.argmax(shown[::-1])


def _mean_positive(image: jax.Array) -> jax.Array:
    """Returns the mean of what is above 0, 1 where nothing is, ()."""
    number = jnp.sum(image > 0)
    return jnp.where(number > 0, image.sum() / jnp.maximum(number, 1), 1)


def _smooth(image: jax.Array, sigma: jax.Array) -> jax.Array:
    """Returns an image (H, W) blurred by a Gaussian; beyond the border lie zeros."""
    rows, columns = (_weigh(size, sigma) for size in image.shape)
    return rows @ image @ columns


def _weigh(size: int, sigma: jax.Array) -> jax.Array:
    """Returns a Gaussian as a symmetric matrix whose inner rows add up to 1."""
    distance = jnp.subtract.outer(jnp.arange(size), jnp.arange(size))
    weights = jnp.exp(-((distance / sigma) ** 2) / 2)
    return weights / weights[size // 2].sum()


def _draw_parts(relative: jax.Array, key: jax.Array) -> jax.Array:
    """Returns which pixels are not blacked out, bool, (H, W).

    The smoothed image is relative to its mean. A whole body keeps its halves and its
    shoulders.
    """
    keys = jax.random.split(key, 3)
    height, width = relative.shape
    y = jnp.arange(height, dtype=jnp.float32)[:, None] - height / 2
    x = jnp.arange(width, dtype=jnp.float32)[None, :] - width / 2
    kept = _keep_around(y, x, relative, keys[2])
    if _is_whole_body(relative):
        return kept
    return kept & _keep_half(y, x, keys[0]) & _keep_below(y, x, keys[1])


def _keep_half(y: jax.Array, x: jax.Array, key: jax.Array) -> jax.Array:
    """Keeps what lies beside a ragged, nearly upright line: half of a chest."""
    chance, side, place, lean, step, teeth = jax.random.split(key, 6)
    sign = jax.random.rademacher(side, ()).astype(jnp.float32)
    line = jax.random.uniform(place, minval=-4.0, maxval=18.0)
    line += jax.random.uniform(lean, minval=-0.08, maxval=0.08) * y
    # One tooth for each vertebra or so.
    height = jax.random.uniform(step, minval=4.0, maxval=14.0)
    depth = jax.random.uniform(teeth, y.shape, maxval=6.0)
    line += depth[((y - y[:1]) / height).astype(jnp.int32)[:, 0]]
    return (sign * x > line) | ~jax.random.bernoulli(chance, _HALVED)


def _keep_below(y: jax.Array, x: jax.Array, key: jax.Array) -> jax.Array:
    """Keeps what lies below a slanted line, which takes a shoulder and the neck."""
    chance, side, slope, place = jax.random.split(key, 4)
    sign = jax.random.rademacher(side, ()).astype(jnp.float32)
    line = jax.random.uniform(slope, minval=0.0, maxval=0.9) * sign * x
    line += jax.random.uniform(place, minval=-75.0, maxval=-35.0)
    return (y > line) | ~jax.random.bernoulli(chance, _SLANTED)


def _keep_around(
    y: jax.Array, x: jax.Array, relative: jax.Array, key: jax.Array
) -> jax.Array:
    """Keeps what lies around a hole with a wavy rim, and in half of them what is dark.

    A kidney or a bladder is blacked out where it is bright: a ragged rim is left.
    """
    chance, centre, axes, phase, level = jax.random.split(key, 5)
    y0, x0 = jax.random.uniform(
        centre, (2,), minval=jnp.array([-40.0, -50.0]), maxval=jnp.array([80.0, 50.0])
    )
    tall, wide = jax.random.uniform(axes, (2,), minval=4.0, maxval=16.0)
    y, x = (y - y0) / tall, (x - x0) / wide
    waves = jax.random.uniform(phase, (2,), maxval=2 * np.pi)
    angle = jnp.arctan2(y, x)
    rim = 1 + 0.2 * jnp.sin(3 * angle + waves[0]) + 0.15 * jnp.sin(7 * angle + waves[1])
    bright = relative > jax.random.uniform(level, minval=-1.5, maxval=1.5)
    hole = (jnp.hypot(y, x) <= rim) & bright
    return ~hole | ~jax.random.bernoulli(chance, _HOLED)


def _compress(grey: jax.Array, quality: jax.Array) -> jax.Array:
    """Returns grey levels (H, W) after JPEG's loss (ITU-T T.81, A.3), whole numbers.

    Blocks of 8x8 begin at the first pixel; incomplete ones are filled up with 0.
    """
    height, width = grey.shape
    pad = (-height % _BLOCK, -width % _BLOCK)
    levels = jnp.pad(grey, ((0, pad[0]), (0, pad[1]))) - 128
    rows, columns = (size // _BLOCK for size in levels.shape)
    blocks = levels.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    cosines = jnp.asarray(_make_cosines())
    # As libjpeg scales the table: by 1 at a quality of 50, by 0 at 100.
    scale = jnp.where(quality < 50, 50 / quality, 2 - quality / 50)
    coarseness = jnp.maximum(jnp.rint(_COARSENESS * scale), 1)[None, None]
    waves = cosines @ blocks @ cosines.T / coarseness
    # Halves away from zero, as libjpeg: those of whole numbers are frequent.
    waves = jnp.sign(waves) * jnp.floor(jnp.abs(waves) + 0.5) * coarseness
    levels = (cosines.T @ waves @ cosines).swapaxes(1, 2).reshape(levels.shape)
    return jnp.clip(jnp.rint(levels + 128), 0, 255)[:height, :width]


@functools.cache
def _make_cosines() -> np.ndarray:
    """Returns the orthonormal cosine transform of 8 samples, float32, (8, 8)."""
    place, wave = np.arange(_BLOCK), np.arange(_BLOCK)[:, None]
    cosines = np.cos((2 * place + 1) * wave * np.pi / (2 * _BLOCK)) / 2
    cosines[0] /= np.sqrt(2)
    return cosines.astype(np.float32)
