"""Images as they reach people: each trace does what its name says, and no more."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from spectjax.training import randomise
from spectjax.training.augment import augment


@pytest.fixture(scope="module")
def bodies():
    """64 noisy discs of 40 counts in the middle of an empty canvas, (64, 96, 96)."""
    y, x = np.indices((96, 96)) - 47.5
    mean = np.where(np.hypot(y / 44, x / 36) < 1, 40.0, 0.0)
    return np.random.default_rng(0).poisson(mean, (64, 96, 96)).astype(np.uint16)


@pytest.fixture(scope="module")
def deliver():
    """Delivers 64 images with the keys of a seed; compiled once."""
    compiled = jax.jit(randomise.deliver)

    def call(images, seed):
        keys = jax.random.split(jax.random.key(seed), len(images))
        return jax.device_get(compiled(images, keys))

    return call


@pytest.fixture(scope="module")
def delivered(bodies, deliver):
    return deliver(bodies, 5)


@pytest.mark.parametrize("quality", [60, 75, 90, 97])
def test_compression_is_that_of_libjpeg(quality):
    rng = np.random.default_rng(quality)
    y, x = np.indices((64, 48))
    grey = rng.poisson(30 + 25 * np.sin(y / 5) * np.cos(x / 7)).clip(0, 255)
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(file, "JPEG", quality=quality)
    expected = np.array(Image.open(file), np.float32)
    found = randomise._compress(grey.astype(np.float32), np.float32(quality))
    # libjpeg computes cosines in integers: where a wave lies between two steps it may
    # round the other way, and moves its block by a level or two.
    difference = np.abs(np.asarray(found) - expected)
    assert np.mean(difference > 1) < 0.1
    assert np.median(difference) == 0
    assert np.abs(expected - grey).mean() > 2.5 * difference.mean()


def test_images_stay_whole_numbers_and_nothing_is_shown_where_it_is_blacked_out(
    delivered,
):
    images, kept = delivered
    assert (images == np.rint(images)).all()
    assert (images >= 0).all()
    # A compressed picture has noise around a hole, as around a body: a few levels.
    assert images[~kept].max() <= 60
    assert np.median(images[~kept]) == 0


def test_traces_are_as_frequent_as_they_are_said_to_be(bodies, deliver):
    many = np.tile(bodies, (8, 1, 1))
    images, kept = map(
        np.concatenate, zip(*(deliver(bodies, seed) for seed in range(8)), strict=True)
    )
    # None of three parts is blacked out in 0.65 x 0.7 x 0.7 of them; of the third, a
    # hole, some lie beside so small a picture.
    whole = kept.all(axis=(1, 2)).mean()
    assert 0.65 * 0.7 * 0.7 < whole < 0.65 * 0.7
    # Counts stay as they are, blacked out or not, where there is neither a spot beside
    # them nor smoothing nor a window nor grey levels.
    same = [
        (image[part] == body[part]).all()
        for image, part, body in zip(images, kept, many, strict=True)
    ]
    assert np.mean(same) == pytest.approx(0.85 * 0.65 * 0.8 * 0.4, abs=0.06)


def test_smoothing_keeps_counts_and_spreads_a_point_as_a_gaussian():
    point = np.zeros((41, 31), np.float32)
    point[20, 15] = 1000
    found = np.asarray(randomise._smooth(point, np.float32(1.2)))
    y, x = np.indices(point.shape)
    assert found.sum() == pytest.approx(1000, rel=1e-4)
    for axis, middle in ((y, 20), (x, 15)):
        variance = (found * (axis - middle) ** 2).sum() / found.sum()
        assert variance == pytest.approx(1.2**2, rel=1e-3)
    np.testing.assert_allclose(
        randomise._smooth(point, np.float32(1e-3)), point, atol=1e-4
    )


def test_an_empty_image_stays_empty(bodies, deliver):
    assert not deliver(np.zeros_like(bodies), 2).images.any()


def test_maps_stretch_within_the_sizes_of_pixels_that_cameras_have():
    maps = randomise.draw_maps()
    size = np.sqrt(np.abs(np.linalg.det(maps)))
    assert 0.78 <= size.min() < 0.79
    assert 1.24 < size.max() <= 1.25
    mirrored = (np.linalg.det(maps) < 0).mean()
    assert mirrored == pytest.approx(0.5, abs=0.03)
    assert np.abs(maps[:, :2, 2]).max(axis=0) == pytest.approx((10, 4), rel=0.01)


@pytest.fixture(scope="module")
def moved(bodies):
    """The same batch moved, and delivered not at all and in half of the images."""
    batch = {"images": bodies[..., None], "masks": np.ones(bodies.shape, np.uint8)}
    keys = jax.random.split(jax.random.key(4), len(bodies))
    run = jax.jit(augment, static_argnames="randomisation")
    return [
        jax.device_get(run(batch, keys, randomisation=share)) for share in (0.0, 0.5)
    ]


def test_what_is_blacked_out_loses_its_lesion_and_others_keep_theirs(moved):
    plain, some = moved
    # Where a picture moved out of its frame there was no lesion before either.
    dark = plain["masks"].astype(bool) & ~some["masks"].astype(bool)
    assert dark.mean(axis=(1, 2)).max() > 0.4  # half a chest is gone
    assert np.median(some["images"][..., 0][dark]) == 0
    assert some["images"].dtype == np.uint16


def test_share_says_how_many_and_the_others_move_as_without(moved):
    plain, some = (each["images"] for each in moved)
    same = (plain == some).all(axis=(1, 2, 3))
    assert 16 < same.sum() < 48


def test_a_spot_beside_the_body_lies_at_its_edge_and_not_beyond_the_picture(bodies):
    keys = jax.random.split(jax.random.key(6), len(bodies))
    images = np.zeros_like(bodies, np.float32)
    images[:, 10:80, 30:70] = 10
    spots = np.asarray(jax.jit(jax.vmap(randomise._glow_beside))(images, keys))
    hit = spots.any(axis=(1, 2))
    assert 0.02 < hit.mean() < 0.3
    assert not spots[:, :, :30].any()
    assert not spots[:, :, 70:].any()
    columns = spots[hit].sum(axis=1).argmax(axis=1)
    assert (np.minimum(columns - 30, 69 - columns) <= 5).all()


def test_interpolated_counts_are_as_noisy_as_a_cameras_again():
    counts = np.random.default_rng(0).poisson(9.0, (129, 129)).astype(np.float32)
    between = sum(counts[y : y + 128, x : x + 128] / 4 for y in (0, 1) for x in (0, 1))
    # Halfway between four pixels a quarter of the variance is left, 4/9 on average.
    average = (4 / 9 - 1 / 4) / (3 / 4)
    mixed = np.where(
        np.random.default_rng(1).random((128, 128)) < average, counts[:-1, :-1], between
    )
    noisy = np.asarray(
        randomise.restore_noise(mixed[None], jax.random.split(jax.random.key(2), 1))
    )
    assert mixed.var() / 9 == pytest.approx(4 / 9, rel=0.05)
    assert noisy.var() / 9 == pytest.approx(1.0, rel=0.05)
    assert noisy.mean() == pytest.approx(9.0, rel=0.02)
    np.testing.assert_array_equal(noisy, np.rint(noisy))


@pytest.mark.parametrize(("hw", "cut"), [((96, 96), True), ((192, 96), False)])
def test_no_half_and_no_shoulder_of_a_whole_body_is_blacked_out(hw, cut):
    keys = jax.random.split(jax.random.key(2), 64)
    draw = jax.jit(jax.vmap(randomise._draw_parts, in_axes=(None, 0)))
    kept = np.asarray(draw(np.ones(hw, np.float32), keys))
    assert (kept.mean((1, 2)) < 0.75).any() == cut
    assert not kept.all((1, 2)).all()  # a bladder may be


def test_a_whole_body_is_brighter_in_some_rows_than_in_others():
    keys = jax.random.split(jax.random.key(3), 200)
    along = jax.vmap(lambda key: randomise._vary_along(181, key))(keys)
    logs = np.log(np.asarray(along)[..., 0])
    # Ten places of their own, a line between them.
    assert logs[:, ::20].std() == pytest.approx(0.25, rel=0.1)
    assert logs.mean() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(np.diff(logs, 2)[:, 5:15], 0, atol=1e-4)
    # Of a thorax the counts stay as they are, see above; of a frame none does.
    frame = np.full((64, 32), 40.0, np.float32)
    seen = jax.jit(jax.vmap(randomise._deliver, (None, 0)))(frame, keys[:16])
    assert (np.ptp(np.asarray(seen.images)[:, :, 16], axis=1) > 0).all()
