"""Tests of `spectjax.explanation.gradcam`: maps that can be worked out by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from spectjax.explanation.gradcam import enlarge, explain, find_log_odds
from spectjax.models import create_model
from spectjax.ops.normalisation import keep_images, normalise_by_range
from spectjax.tasks.classification.task import Classification
from spectjax.tasks.losses import cross_entropy

NARROW = {
    "specs_v": {"features": (2, 2, 3, 3, 3), "hidden": 4, "pool_hw": (1, 1)},
    "specs_r": {"features": (2, 2, 3, 3)},
    "specs_d": {"growth": 2, "stem_features": 4, "bottleneck": 1},
}
CELL_PX = {"specs_v": 16, "specs_r": 32, "specs_d": 32}
SHALLOW = {"stage_sizes": (1, 1, 1, 1)}
EXPLAIN = jax.jit(explain, static_argnames=("task", "category"))
IMAGES = np.random.default_rng(0).normal(size=(3, 2, 3, 1))


class TwoFeatures(nn.Module):
    """The counts and twice their negative, averaged: logits are linear in the image."""

    @nn.compact
    def __call__(self, images, *, train):
        """Maps (B, H, W, 1) to (B, 2)."""
        x = jnp.concatenate([images, -2 * images], axis=-1)
        x = self.perturb("activations", x)
        self.sow("intermediates", "activations", x)
        return nn.Dense(2, name="head")(x.mean((1, 2)))


def make_task(model, normalise=keep_images):
    return Classification(model=model, loss=cross_entropy, normalise=normalise)


def explain_linear(images, kernel, bias=(0.0, 0.0), category=1, normalise=keep_images):
    task = make_task(TwoFeatures(), normalise)
    head = {"kernel": np.array(kernel, np.float32), "bias": np.array(bias, np.float32)}
    images = np.array(images, np.float32)
    found = EXPLAIN(task, {"params": {"head": head}}, images, category=category)
    return [np.array(x) for x in found]


def test_explain_gives_hand_computed_maps():
    images = np.array([[[1.0, 0.0, 2.0], [0.0, 4.0, 5.0]]])[..., np.newaxis]
    # y = z1 - z0; its weights are 3 - 1 = 2 for c and 0 - 1 = -1 for -2c. Over the mean
    # of six places each activation has a derivative of a sixth of that, so that
    # L = (2 c + 2 c) / 6.
    odds, maps = explain_linear(images, [[1.0, 3.0], [1.0, 0.0]], (0.5, 0.25))
    assert maps == pytest.approx(images[..., 0] * 4 / 6)
    # z1 - z0 = 2 * 2 + (-1) * (-4) - 0.25, with a mean of two counts.
    assert odds == pytest.approx([7.75])


def test_explain_is_the_class_activation_map_where_the_head_averages():
    # Zhou et al. 2016: the score is the mean over places of sum_k w_k A_k.
    kernel = np.array([[1.0, -2.0], [0.5, 3.0]])
    weights = kernel[:, 1] - kernel[:, 0]
    cam = (IMAGES * weights[0] - 2 * IMAGES * weights[1])[..., 0] / 6
    odds, maps = explain_linear(IMAGES, kernel)
    assert maps == pytest.approx(np.maximum(cam, 0), abs=1e-6)
    assert odds == pytest.approx(cam.sum((1, 2)), abs=1e-5)


def test_explain_normal_shows_what_spoke_against_metastasis():
    kernel = [[1.0, -2.0], [0.5, 3.0]]
    odds, metastasis = explain_linear(IMAGES, kernel)
    odds_of_normal, normal = explain_linear(IMAGES, kernel, category=0)
    assert odds_of_normal == pytest.approx(-odds, abs=1e-6)
    # Evidence of one sign at each place: the two maps share out the plane.
    assert not np.any(metastasis * normal)
    assert np.all(metastasis + normal > 0)


def test_explain_leaves_out_what_both_logits_share():
    kernel = np.array([[0.0, 1.0], [0.0, 0.0]])
    _, plain = explain_linear(IMAGES, kernel)
    _, shifted = explain_linear(IMAGES, kernel + [[7.0], [3.0]])
    assert shifted == pytest.approx(plain, abs=1e-5)


def test_explain_gives_zero_where_nothing_spoke_for_the_class():
    counts = np.abs(IMAGES)
    _, indifferent = explain_linear(counts, [[0.0, 0.0], [0.0, 0.0]])
    _, against = explain_linear(counts, [[0.0, -1.0], [0.0, 0.0]])
    assert not np.any(indifferent) and not np.any(against)


def test_explain_counts_the_normalisation_in():
    images = np.arange(2.0, 8.0).reshape(1, 2, 3, 1)
    _, maps = explain_linear(
        images, [[0.0, 6.0], [0.0, 0.0]], normalise=normalise_by_range
    )
    assert maps[0] == pytest.approx(np.array([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]]))


def test_explain_does_not_mix_the_images_of_a_batch():
    kernel = [[1.0, 2.0], [0.5, 0.0]]
    _, together = explain_linear(IMAGES, kernel)
    for turn in (1, 2):
        _, moved = explain_linear(np.roll(IMAGES, turn, axis=0) * [[[[turn]]]], kernel)
        assert moved == pytest.approx(np.roll(together, turn, axis=0) * turn, abs=1e-6)


def explain_classifier(name, key, **changes):
    """Log-odds, maps and probabilities of two random images of 64x96 pixels."""
    fields = {"num_classes": 2, **NARROW[name[:7]], **changes}
    task = make_task(create_model(name, fields))

    variables = task.init(key, (64, 96))
    counts = jax.random.uniform(key, (2, 64, 96, 1))
    return *explain(task, variables, counts), task.predict(variables, counts)


def check_maps(name, odds, maps, probs):
    cell = CELL_PX[name[:7]]
    assert maps.shape == (2, 64 // cell, 96 // cell)
    assert np.isfinite(maps).all() and (maps >= 0).all()
    assert enlarge(maps, (64, 96)).shape == (2, 64, 96)
    assert 1 / (1 + np.exp(-odds)) == pytest.approx(probs[:, 1], abs=1e-6)


@pytest.mark.parametrize("name", ["specs_r34", "specs_d121"])
def test_explain_finds_the_last_feature_map(name, key):
    explain_it = partial(explain_classifier, name, **SHALLOW)
    odds, maps, _ = jax.eval_shape(explain_it, key)
    assert (odds.shape, maps.shape) == ((2,), (2, 64 // 32, 96 // 32))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [*(f"specs_v{n}" for n in (7, 16, 19, 21, 24)), "specs_r34", "specs_d121"],
)
def test_explain_explains_every_classifier_at_its_depth(name, key):
    compute = jax.jit(partial(explain_classifier, name))
    check_maps(name, *(np.array(x) for x in compute(key)))


class Convolved(nn.Module):
    """One convolution and a pooling over 2x2 pixels, averaged."""

    @nn.compact
    def __call__(self, images, *, train):
        """Maps (B, H, W, 1) to (B, 2)."""
        x = nn.relu(nn.Conv(3, (3, 3), use_bias=False, name="conv")(images))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = self.perturb("activations", x)
        self.sow("intermediates", "activations", x)
        return nn.Dense(2, name="head")(nn.relu(x - 0.1).mean((1, 2)))


def test_explain_follows_an_image_that_moves_by_a_cell(key):
    # Nothing that the blob changes reaches the border, whose zeros look different.
    task = make_task(Convolved())
    images = np.zeros((2, 12, 12, 1), np.float32)
    blob = np.random.default_rng(1).uniform(size=(4, 4, 1))
    images[0, 4:8, 4:8] = images[1, 6:10, 2:6] = blob
    variables = jax.jit(lambda key: {"params": task.init(key, (12, 12))["params"]})(key)
    maps = [EXPLAIN(task, variables, images, category=c)[1] for c in (0, 1)]
    there, here = np.sum(maps, axis=0)  # what spoke for either class
    assert there == pytest.approx(np.roll(here, (-1, 1), (0, 1)), abs=1e-6)
    assert there.any()


class Silent(nn.Module):
    """A model that shows nothing of what it does."""

    @nn.compact
    def __call__(self, images, *, train):
        """Maps (B, H, W, 1) to (B, 1)."""
        return images.mean((1, 2))


def test_explain_asks_for_a_model_that_shows_its_features():
    with pytest.raises(ValueError, match="sows its last feature map.*got Silent"):
        explain(make_task(Silent()), {"params": {}}, np.zeros((1, 8, 8, 1)))


def test_find_log_odds_of_many_classes_is_that_of_one_against_the_rest():
    probs = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    odds = find_log_odds(jnp.log(probs) + 3.0, 1)
    assert odds == pytest.approx(np.log([0.25 / 0.75, 0.2 / 0.8]), abs=1e-6)


def test_enlarge_is_bilinear_between_the_centres_of_cells():
    # Centres lie at pixels 0.5 and 2.5; outside of them the nearest one counts.
    found = enlarge(jnp.array([[[0.0, 4.0], [0.0, 4.0]]]), (4, 4))[0]
    assert found == pytest.approx(np.tile([0.0, 1.0, 3.0, 4.0], (4, 1)))
