"""Tests of `spectjax.explanation.sanity`, with networks whose layers are numbers."""

import jax
import numpy as np
import pytest
from flax import linen as nn
from scipy import ndimage
from scipy.stats import spearmanr

from spectjax.explanation.gradcam import explain
from spectjax.explanation.sanity import (
    check_sanity,
    correlate_ranks,
    list_layers,
    replace_layer,
)
from spectjax.models import create_model
from spectjax.ops.normalisation import keep_images
from spectjax.tasks.classification.task import Classification
from spectjax.tasks.losses import cross_entropy

HW = (16, 16)


class EdgeFinder(nn.Module):
    """One convolution; the head sees the mean of what it found."""

    @nn.compact
    def __call__(self, images, *, train):
        """Maps (B, H, W, 1) to (B, 2)."""
        x = nn.relu(nn.Conv(4, (3, 3), use_bias=False, name="seek")(images))
        x = self.perturb("activations", x)
        self.sow("intermediates", "activations", x)
        return nn.Dense(2, name="head")(x.mean((1, 2)))


@pytest.fixture
def task():
    return make_task(EdgeFinder())


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(size=(4, *HW, 1)).astype(np.float32)


def make_task(model):
    return Classification(model=model, loss=cross_entropy, normalise=keep_images)


def make_trained():
    """Weights by hand: vertical edges, dark on the left, speak for metastasis."""
    kernel = np.zeros((3, 3, 1, 4), np.float32)
    kernel[:, 0, 0, 0], kernel[:, 2, 0, 0] = -1, 1
    head = np.zeros((4, 2), np.float32)
    head[0, 1] = 1
    head = {"kernel": head, "bias": np.zeros(2, np.float32)}
    return {"params": {"head": head, "seek": {"kernel": kernel}}}


def check(task, explain_images, variables, images):
    init = jax.jit(lambda key: {"params": task.init(key, HW)["params"]})
    seen, key = np.ones((len(images), *HW), bool), jax.random.key(5)
    layers = list_layers(task, HW)
    return check_sanity(explain_images, init, variables, layers, seen=seen, key=key)


def test_list_layers_follows_the_image(task):
    assert list_layers(task, HW) == ["seek", "head"]  # not as sorted by name


def test_list_layers_begins_with_the_stem_of_a_residual_network():
    model = create_model("specs_r34", {"num_classes": 2, "stage_sizes": (1, 1, 1, 1)})
    task = make_task(model)
    stages = [f"stage{i}_1" for i in (1, 2, 3, 4)]
    assert list_layers(task, (32, 32)) == ["stem", "stem_norm", *stages, "head"]


def test_replace_layer_takes_parameters_and_statistics_of_one_layer():
    old = {"params": {"a": 1, "b": 2}, "batch_stats": {"b": 3}}
    new = {"params": {"a": 10, "b": 20}, "batch_stats": {"b": 30}}
    assert replace_layer(old, new, "b") == {
        "params": {"a": 1, "b": 20},
        "batch_stats": {"b": 30},
    }
    assert old["params"]["b"] == 2


def test_correlate_ranks_agrees_with_scipy(key):
    a, b = np.round(np.array(jax.random.normal(key, (2, 50))), 1)  # with ties
    assert correlate_ranks(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert correlate_ranks(a, a**3) == pytest.approx(1)
    assert correlate_ranks(a, np.zeros(50)) == 0


def test_check_sanity_sees_the_maps_of_a_trained_network_change(task, images):
    jitted = jax.jit(lambda variables: explain(task, variables, images)[1])
    found = check(task, jitted, make_trained(), images)
    assert found.layers == ("head", "seek")
    assert found.similarity.shape == (5, 2, 4)
    assert found.passed
    # By hand: L is the ReLU of the edges, over the number of places.
    padded = np.pad(images[..., 0], ((0, 0), (1, 1), (1, 1)))
    edges = sum(
        padded[:, i : i + 16, 2:] - padded[:, i : i + 16, :-2] for i in (0, 1, 2)
    )
    assert found.maps[0] == pytest.approx(np.maximum(edges, 0) / 256, abs=1e-6)


def test_check_sanity_catches_an_edge_detector(task, images):
    edges = ndimage.gaussian_gradient_magnitude(images[..., 0], (0, 1, 1))
    found = check(task, lambda _: edges, make_trained(), images)
    assert found.final == pytest.approx(1)
    assert not found.passed
    assert not found.to_json()["passed"]


def test_check_sanity_goes_from_the_head_to_all_weights(key):
    # Maps that tell which layers are the trained ones: one cell for each.
    layers = ["a", "b", "c"]

    def read(variables):
        return np.array([[[0.5, *(variables["params"][layer] for layer in layers)]]])

    found = check_sanity(
        read,
        lambda key: {"params": dict.fromkeys(layers, 0.0)},
        {"params": dict.fromkeys(layers, 1.0)},
        layers,
        seen=np.ones((1, 1, 4), bool),
        key=key,
        draws=1,
    )
    expected = [[0.5] + [1.0] * (3 - n) + [0.0] * n for n in range(4)]
    assert found.maps[:, 0, 0].tolist() == expected


def test_check_sanity_compares_cells_that_show_the_patient():
    flat = np.array([[[1.0, 2.0, 9.0]]]), np.array([[[2.0, 1.0, 9.0]]])
    answers = iter([flat[0], flat[1]])
    found = check_sanity(
        lambda _: next(answers),
        lambda _: {"params": {"a": 1}},
        {"params": {"a": 0}},
        ["a"],
        seen=np.array([[[True, True, False]]]),
        key=jax.random.key(0),
        draws=1,
    )
    assert found.similarity == pytest.approx(-np.ones((1, 1, 1)))
    assert found.to_json()["stages"][0]["similarity"] == pytest.approx(-1)


def test_check_sanity_needs_maps_that_could_change(task):
    maps = np.stack([np.eye(16), np.ones((16, 16))])
    with pytest.raises(ValueError, match="Image 1: .*found a constant one"):
        check(task, lambda _: maps, make_trained(), maps)
