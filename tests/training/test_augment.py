"""Tests of `spectjax.training.augment`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.imaging.geometry import GeometricCopy, list_moves
from spectjax.training import augment as module
from spectjax.training.augment import draw_moves, move_images, thin_counts
from tfds_spect.copies import move_example
from tfds_spect.example import ThoraxExample

augment = jax.jit(module.augment, static_argnames=("hw", "count_level", "contrast"))
_thin = jax.jit(thin_counts, static_argnames=("count_level", "contrast"))
HW = (256, 256)
N_MOVES = 2 * 21 * 9 * 11


def make_batch(n):
    rng = np.random.default_rng(n)
    smooth = 20 + 10 * np.sin(np.indices(HW).sum(0) / 15)
    masks = np.zeros((n, *HW), np.uint8)
    for mask in masks:
        y, x = rng.integers(5, 230, 2)
        mask[y : y + 9, x : x + 14] = 1
    return {
        "images": rng.poisson(smooth, (n, *HW)).astype(np.uint16)[..., None],
        "masks": masks,
        "weights": np.arange(n, dtype=np.float32),
    }


def moves_of(keys):
    return [list_moves()[i] for i in np.asarray(draw_moves(keys))]


def copy_of(batch, i, move):
    """What the data set's builder makes of an image."""
    example = ThoraxExample(
        counts=batch["images"][i, ..., 0],
        lesions=batch["masks"][i].astype(np.uint16),
        labels=("metastasis",),
        diagnosis="metastasis",
        mask_evidence="outlines",
        patient="p",
        view="anterior",
        spacing_mm=None,
        crop_box=(0, 0, 256, 256),
        frame_hw=(1024, 256),
        source="s",
        synthetic=True,
    )
    return move_example(example, move, 0)


def test_augment_makes_the_copies_of_the_data_set(key):
    batch, keys = make_batch(5), jax.random.split(key, 5)
    moved = jax.tree.map(np.asarray, augment(batch, keys))
    differing = []
    for i, move in enumerate(moves_of(keys)):
        copy = copy_of(batch, i, move)
        np.testing.assert_array_equal(moved["masks"][i], copy.lesions)
        error = np.abs(moved["images"][i, ..., 0].astype(int) - copy.counts)
        assert error.max() <= 1
        differing.append((error > 0).mean())
    # Of the counts that lie half-way, the last bit of a float32 decides some.
    assert max(differing) < 1e-4


def test_augment_keeps_dtypes_and_what_it_does_not_know(key):
    batch = make_batch(5)
    moved = augment(batch, jax.random.split(key, 5))
    assert moved["images"].dtype == jnp.uint16
    assert moved["images"].shape == (5, 256, 256, 1)
    assert moved["masks"].dtype == jnp.uint8
    np.testing.assert_array_equal(moved["weights"], batch["weights"])


def test_augment_does_not_depend_on_how_a_batch_is_divided(key):
    batch, keys = make_batch(5), jax.random.split(key, 5)
    whole = augment(batch, keys)
    halves = [
        augment(jax.tree.map(lambda a, rows=rows: a[rows], batch), keys[rows])
        for rows in (slice(0, 2), slice(2, 5))
    ]
    for name in ("images", "masks"):
        divided = np.concatenate([half[name] for half in halves])
        np.testing.assert_array_equal(divided, whole[name])


def test_augment_gives_one_image_another_move_with_another_key(key):
    one = make_batch(1)
    batch = {name: np.repeat(one[name], 8, axis=0) for name in ("images", "masks")}
    images = np.asarray(augment(batch, jax.random.split(key, 8))["images"])
    assert len(np.unique(images.reshape(8, -1), axis=0)) == 8


def test_augment_lets_enter_what_lay_outside_of_the_part_that_is_kept(key):
    batch, keys = make_batch(5), jax.random.split(key, 5)
    whole, part = augment(batch, keys), augment(batch, keys, hw=(160, 96))
    assert part["images"].shape == (5, 160, 96, 1)
    for name in ("images", "masks"):
        np.testing.assert_array_equal(part[name], whole[name][:, 48:208, 80:176])
    assert np.all(np.asarray(part["images"]) > 0)


def test_augment_keeps_poisson_noise_unless_it_rotates():
    keys = jax.random.split(jax.random.key(1), 40)
    flat = np.random.default_rng(0).poisson(100, (40, *HW, 1)).astype(np.uint16)
    moved = augment(
        {"images": flat, "masks": np.zeros(flat.shape[:3], np.uint8)}, keys, hw=(96, 96)
    )
    variances = np.asarray(moved["images"], np.float64).var(axis=(1, 2, 3))
    rotated = np.array([move.degrees != 0 for move in moves_of(keys)])
    assert 0 < rotated.sum() < 40
    np.testing.assert_allclose(variances[~rotated], 100, rtol=0.06)
    # Weights 1-t and t with t uniform leave 2/3 of the variance in each direction.
    np.testing.assert_allclose(variances[rotated], 100 * 4 / 9, rtol=0.12)


def test_move_images_moves_each_image_as_augment_does():
    batch = make_batch(2)
    moved = move_images(batch["images"], 4)
    assert moved.dtype == np.uint16
    for i, move in enumerate(moves_of(jax.random.split(jax.random.key(4), 2))):
        counts = copy_of(batch, i, move).counts
        assert np.abs(moved[i, ..., 0].astype(int) - counts).max() <= 1


def test_move_images_does_not_depend_on_the_batch_size():
    images = np.random.default_rng(0).poisson(9, (5, 96, 96, 1)).astype(np.uint16)
    np.testing.assert_array_equal(
        move_images(images, 1, batch_size=2), move_images(images, 1, batch_size=8)
    )
    assert (move_images(images, 1) != move_images(images, 2)).any()


def test_augment_does_not_round_images_that_are_scaled_to_one():
    images = np.random.default_rng(0).random((8, 96, 96, 1), np.float32)
    batch = {"images": images, "masks": np.zeros(images.shape[:3], np.uint8)}
    moved = np.asarray(augment(batch, jax.random.split(jax.random.key(1), 8))["images"])
    assert moved.dtype == np.float32
    assert 0.4 < moved[:, 20:-20, 20:-20].mean() < 0.6
    assert len(np.unique(moved)) > 1000


def test_draw_moves_draws_every_move_of_the_paper_equally_often():
    # [P1]: mirrored or not, up to 10 and 4 pixels and 5 degrees either way.
    assert {(m.mirror, m.dx, m.dy, m.degrees) for m in list_moves()} == {
        (mirror, dx, dy, degrees)
        for mirror in (False, True)
        for dx in range(-10, 11)
        for dy in range(-4, 5)
        for degrees in range(-5, 6)
    }
    assert GeometricCopy() in list_moves()
    n = 50 * N_MOVES
    drawn = np.asarray(jax.jit(draw_moves)(jax.random.split(jax.random.key(1), n)))
    counts = np.bincount(drawn, minlength=N_MOVES)
    assert len(counts) == N_MOVES
    # Pearson's statistic has N_MOVES - 1 degrees of freedom, so this deviation.
    statistic = ((counts - 50) ** 2 / 50).sum()
    assert abs(statistic - N_MOVES) < 4 * np.sqrt(2 * N_MOVES)


@pytest.mark.parametrize("field", ["mirror", "dx", "dy", "degrees"])
def test_draw_moves_draws_independently_of_the_key_before(field):
    moves = moves_of(jax.random.split(jax.random.key(2), 4000))
    values = np.array([getattr(move, field) for move in moves], np.float64)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.06


def thin(counts, *, n, **settings):
    """Returns n thinned images of the same counts, float64, (n, H, W)."""
    images = np.repeat(np.asarray(counts, np.uint16)[None], n, axis=0)
    keys = jax.random.split(jax.random.key(5), n)
    thinned = _thin(images, keys, **settings)
    assert thinned.dtype == jnp.uint16
    return np.asarray(thinned, np.float64)


def test_thinned_poisson_counts_are_poisson_counts_of_a_lower_rate():
    scans = np.random.default_rng(0).poisson(8, (96, 96))
    thinned = thin(scans, n=24, count_level=0.2, contrast=0.0)
    levels = thinned.mean((1, 2)) / scans.mean()
    # Even in the logarithm between 0.2 and 1: the middle of the logarithms is half.
    assert 0.19 < levels.min() < 0.3 < 0.8 < levels.max() < 1.01
    assert abs(np.log(levels).mean() / np.log(0.2) - 0.5) < 0.15
    # Of a Poisson variable variance and mean agree; of rescaled counts the ratio would
    # be the level itself.
    np.testing.assert_allclose(thinned.var((1, 2)) / thinned.mean((1, 2)), 1, atol=0.06)


def test_thinning_takes_counts_away_and_never_adds_any():
    scans = np.random.default_rng(0).poisson(3, (48, 48))
    thinned = thin(scans, n=6, count_level=0.3, contrast=0.5)
    assert (thinned <= scans).all() and (thinned[0] != thinned[1]).any()


def test_contrast_changes_by_the_power_of_the_ratio():
    # Half of the body four times as hot as the other: ratios 8/5 and 2/5 to its mean.
    body = np.full((72, 160), 100)
    body[:, 80:] = 400
    thinned = thin(body, n=24, count_level=1.0, contrast=0.4)
    inside = thinned[:, 30:-30]
    ratios = inside[:, :, 110:130].mean((1, 2)) / inside[:, :, 30:50].mean((1, 2)) / 4
    exponents = np.log(ratios) / np.log(4)
    # Evenly drawn from -0.4 to 0.4: standard deviation 0.8 / sqrt(12).
    assert exponents.min() > -0.41 and exponents.max() < 0.41
    assert abs(exponents.mean()) < 0.15
    np.testing.assert_allclose(exponents.std(), 0.231, atol=0.07)


def test_thinning_spares_an_empty_image_and_refuses_what_is_no_count():
    # Of the shape above, whose program there is.
    assert not thin(np.zeros((48, 48)), n=6, count_level=0.3, contrast=0.5).any()
    keys = jax.random.split(jax.random.key(0), 1)
    with pytest.raises(ValueError, match="float32: scaled images have no Poisson"):
        thin_counts(jnp.ones((1, 8, 8)), keys, count_level=0.5, contrast=0.0)
    whole = jnp.ones((1, 8, 8), jnp.uint16)
    with pytest.raises(ValueError, match="got 0 and 0.1"):
        thin_counts(whole, keys, count_level=0, contrast=0.1)


def test_augment_thins_what_it_moves(key):
    batch, keys = make_batch(5), jax.random.split(key, 5)
    moved = augment(batch, keys, hw=(160, 96))
    thinned = augment(batch, keys, hw=(160, 96), count_level=0.1, contrast=0.2)
    np.testing.assert_array_equal(thinned["masks"], moved["masks"])
    means = [np.asarray(x["images"], np.float64).mean() for x in (thinned, moved)]
    assert 0.05 < means[0] / means[1] < 0.9
