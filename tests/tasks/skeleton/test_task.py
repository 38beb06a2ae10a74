"""What the network of bones learns from, and what it is asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from spectjax.bones.regions import NAMES, mirror_sides
from spectjax.bones.sheet import UNKNOWN
from spectjax.models import create_model
from spectjax.ops.normalisation import scale_counts
from spectjax.tasks.skeleton.task import Skeleton, measure_loss
from spectjax.tasks.skeleton.variation import vary_sheets

K = len(NAMES) + 1
SIDES = ("left", "right")


class Echo(nn.Module):
    """Says of each pixel the class that its grey value is."""

    @nn.compact
    def __call__(self, images, *, train):
        """Maps (B, H, W, 1) to (B, H, W, K)."""
        return 9.0 * jax.nn.one_hot(jnp.rint(255 * images[..., 0]).astype(int), K)


def make_task(model, *, mirrored=False):
    return Skeleton.create(
        loss="dice_cross_entropy",
        class_weights=(),
        model=model,
        normalise=scale_counts,
        mirrored=mirrored,
    )


def make_labels(height=8, width=16):
    labels = np.zeros((1, height, width), np.uint8)
    labels[0, 1:4, 1:3] = 1 + NAMES.index("left ribs")
    labels[0, 1:4, 6:8] = 1 + NAMES.index("right ribs")
    labels[0, 4:7, 9:12] = 1 + NAMES.index("skull")
    return labels


def test_the_loss_is_that_of_the_formula():
    labels = np.full((1, 2, 4), -1)
    labels[0, 0] = (1, 0, 2, 2)  # two pixels of each half are known
    logits = np.zeros((1, 2, 4, 3), np.float32)
    logits[0, 0, 0, 1] = np.log(2)  # (1/4, 1/2, 1/4); elsewhere thirds
    entropy = (np.log(2) + 3 * np.log(3)) / 4
    of_first = (2 * 1 / 2 + 1) / (1 / 2 + 1 / 3 + 1 + 1)  # class 1 in the left half
    of_second = (2 * 2 / 3 + 1) / (2 / 3 + 2 + 1)  # class 2 in the right half
    expected = entropy + 1 - (of_first + of_second) / 2
    np.testing.assert_allclose(measure_loss(logits, labels), expected, rtol=1e-6)
    # What is said of unknown pixels does not matter.
    logits[0, 1] = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(measure_loss(logits, labels), expected, rtol=1e-6)


def test_unknown_pixels_neither_teach_nor_count():
    labels = make_labels()
    labels[..., 8:] = UNKNOWN
    images = np.where(labels == UNKNOWN, 7, labels)[..., None].astype(np.uint16)
    batch = {"images": images, "masks": labels, "valid": np.array([True])}
    task = make_task(Echo())
    sums = jax.device_get(task.compute_sums({}, batch))
    assert sums["pixels"] == 64
    assert task.summarise(sums) == pytest.approx(
        {"loss": task.summarise(sums)["loss"], "PA": 1, "Dice": 1}
    )


def test_a_mirrored_body_is_asked_with_its_sides_swapped():
    labels = make_labels()
    images = labels[..., None].astype(np.uint16)
    plain = make_task(Echo()).predict_logits({}, images)
    # One that only knows what it sees: mirrored, a left rib is still said to be left,
    # and so right of the body itself.
    both = make_task(Echo(), mirrored=True).predict_logits({}, images)
    left, right = (1 + NAMES.index(f"{side} ribs") for side in ("left", "right"))
    np.testing.assert_allclose(both[0, 2, 1, [left, right]], 4.5)
    np.testing.assert_allclose(both[0, 5, 10], plain[0, 5, 10])


def test_the_model_sees_both_views_of_a_place_at_once():
    fields = {"num_classes": K, "features": (2, 2)}
    model = create_model("skeleton_unet", fields)
    images = np.zeros((1, 16, 32, 1), np.float32)
    variables = model.init(jax.random.key(0), images, train=False)
    logits = model.apply(variables, images, train=False)
    assert logits.shape == (1, 16, 32, K) and logits.dtype == jnp.float32
    images[0, 8, 20] = 1  # of the right half
    changed = np.abs(model.apply(variables, images, train=False) - logits).max(-1)[0]
    assert changed[8, 4] > 0 and changed[8, 20] > 0  # the same place in both
    assert changed[0, 0] == changed[0, 16] == 0  # far away
    size = sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert size == 442


@pytest.fixture(scope="module")
def varied():
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 64, 64), np.uint8)
    masks[:, 8:56, [12, 13, 44, 45]] = 1 + NAMES.index("left femur")
    masks[:, 8:56, [18, 19, 50, 51]] = 1 + NAMES.index("right femur")
    images = np.where(masks > 0, 150, rng.integers(0, 9, masks.shape))
    batch = {"images": images[..., None].astype(np.uint16), "masks": masks}
    keys = jax.random.split(jax.random.key(1), 6)
    return batch, jax.device_get(jax.jit(vary_sheets)(batch, keys))


def test_sheets_keep_their_kind_and_differ(varied):
    batch, found = varied
    for name, array in batch.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
    assert all((found["images"][0] != image).any() for image in found["images"][1:])
    labels = set(np.unique(found["masks"]))
    assert labels <= {0, UNKNOWN, *np.unique(batch["masks"])}


def test_sides_stay_the_patients_and_a_dropped_view_is_unknown(varied):
    _, found = varied
    halves = found["masks"].reshape(6, 64, 2, 32).swapaxes(1, 2).reshape(12, 64, 32)
    greys = found["images"].reshape(6, 64, 2, 32).swapaxes(1, 2).reshape(12, 64, 32)
    lost = (halves == UNKNOWN).any(axis=(1, 2))
    assert (halves[lost] == UNKNOWN).all() and not greys[lost].any()
    assert not lost.reshape(6, 2).all(axis=1).any()  # one view is always there
    # In the sheets that were given left lies left. In a mirrored one the bone at the
    # left is called left as well: what is seen there has the other side's name.
    places = [
        [np.nonzero(half == 1 + NAMES.index(f"{side} femur"))[1] for side in SIDES]
        for half in halves[~lost]
    ]
    assert len(places) > 6
    assert all(left.mean() < right.mean() for left, right in places)


def test_mirror_sides_is_what_the_task_undoes():
    labels = make_labels()
    logits = jax.nn.one_hot(mirror_sides(labels.reshape(8, 2, 8)).reshape(1, 8, 16), K)
    back = make_task(Echo()).mirror(logits)
    np.testing.assert_array_equal(back.argmax(axis=-1), labels)
