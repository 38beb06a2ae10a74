"""Tests of the segmentation models: shapes, sizes, and what each part does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.models import MODELS, create_model
from spectjax.models.unet import ConvBlock

FIELDS = {"num_classes": 2, "features": (4, 8, 16), "batch_norm": False}
# Counted by hand, for one input channel, FIELDS or the paper's size. A 3x3 convolution
# from c to d channels has (9c + 1) d parameters, an up-convolution (4c + 1) d, a 1x1
# convolution (c + 1) d.
#   down  4: 40 + 148, 8: 296 + 584, 16: 1168 + 2320               4556
#   grow  16->8: 520, 8->4: 132                                     652
#   up    16->8: 1160 + 584, 8->4: 292 + 148                       2184
#   head  4->2: 10                                                   10
#   projections  1->4: 8, 4->8: 40, 8->16: 144, 16->8: 136, 8->4: 36   364
# The same sums at (64, 128, 256, 512, 1024):
#   down  37568 + 221440 + 885248 + 3539968 + 14157824          18842048
#   grow  2097664 + 524544 + 131200 + 32832                      2786240
#   up    7078912 + 1769984 + 442624 + 110720                    9402240
#   head  130                                                        130
#   projections  down 128 + 8320 + 33024 + 131584 + 525312        698368
#                up 524800 + 131328 + 32896 + 8256                697280
SMALL_COUNTS = {"unet": 7_402, "unet_res": 7_402 + 364}
PAPER_COUNTS = {"unet": 31_030_658, "unet_res": 31_030_658 + 1_395_648}


def draw_variables(model, images, *, scale=0.3):
    """Variables that take no time: XLA compiles each random initialiser on its own."""
    shapes = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(scale * rng.uniform(size=x.shape), x.dtype), shapes
    )


def run(model, variables, images, *, train=False, mutable=False):
    return jax.jit(lambda v, x: model.apply(v, x, train=train, mutable=mutable))(
        variables, images
    )


def count_params(name, fields, hw):
    model = create_model(name, fields)
    images = jax.ShapeDtypeStruct((2, *hw, 1), jnp.float32)
    logits, variables = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), images
    )
    assert logits.shape == (2, *hw, 2)
    assert logits.dtype == jnp.float32
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_every_model_has_a_parameter_count():
    assert set(SMALL_COUNTS) == set(PAPER_COUNTS)
    # K-means learns nothing, that of bones is U-Net-Res; others have their own files.
    others = {"kmeans", "mask_rcnn", "mask_rcnn_att", "skeleton_unet"}
    classifiers = {name for name in MODELS if name.startswith("specs_")}
    assert set(PAPER_COUNTS) | classifiers | others == set(MODELS)


@pytest.mark.parametrize("name", sorted(PAPER_COUNTS))
def test_a_small_model_has_the_parameters_counted_by_hand(name):
    assert count_params(name, FIELDS, (8, 12)) == SMALL_COUNTS[name]


@pytest.mark.parametrize("name", sorted(PAPER_COUNTS))
def test_a_model_of_the_papers_size_has_the_parameters_counted_by_hand(name):
    fields = {"num_classes": 2, "batch_norm": False}
    assert count_params(name, fields, (256, 256)) == PAPER_COUNTS[name]


@pytest.mark.parametrize("name", sorted(PAPER_COUNTS))
def test_batch_norm_replaces_each_bias_by_scale_and_bias(name):
    # One more per channel of each 3x3 convolution: 2 * (4 + 8 + 16 + 8 + 4).
    count = count_params(name, FIELDS | {"batch_norm": True}, (8, 12))
    assert count == SMALL_COUNTS[name] + 80


@pytest.mark.parametrize("name", sorted(PAPER_COUNTS))
def test_bfloat16_convolutions_give_float32_logits_close_to_float32_ones(name, key):
    images = jax.random.uniform(key, (1, 8, 8, 1))
    exact = create_model(name, FIELDS)
    variables = draw_variables(exact, images)
    expected = run(exact, variables, images)
    rounded = run(exact.clone(dtype="bfloat16"), variables, images)
    assert rounded.dtype == jnp.float32
    np.testing.assert_allclose(rounded, expected, atol=0.1 * jnp.abs(expected).max())
    assert not (rounded == expected).all()


def test_training_updates_batch_statistics_and_evaluation_does_not(key):
    model = create_model("unet_res", FIELDS | {"batch_norm": True})
    images = jax.random.uniform(key, (2, 8, 8, 1))
    variables = draw_variables(model, images)
    before = variables["batch_stats"]
    _, same = run(model, variables, images, mutable=["batch_stats"])
    _, updated = run(model, variables, images, train=True, mutable=["batch_stats"])
    assert jax.tree.all(jax.tree.map(jnp.array_equal, same["batch_stats"], before))
    moved = jax.tree.map(
        lambda new, old: (new != old).all(), updated["batch_stats"], before
    )
    assert jax.tree.all(moved)


def test_residual_block_with_silent_convolutions_passes_its_input_through(key):
    block = ConvBlock(3, residual=True, batch_norm=False, dtype="float32")
    x = jax.random.normal(key, (1, 4, 4, 3))
    variables = draw_variables(block, x, scale=0.0)
    # Same number of channels: [P1] Eq. 5 with H(x) = x and F(x) = 0.
    assert "project" not in variables["params"]
    np.testing.assert_array_equal(run(block, variables, x), jnp.maximum(x, 0))


def test_plain_block_with_silent_convolutions_is_silent(key):
    block = ConvBlock(3, residual=False, batch_norm=False, dtype="float32")
    x = jax.random.normal(key, (1, 4, 4, 3))
    variables = draw_variables(block, x, scale=0.0)
    assert not run(block, variables, x).any()


@pytest.mark.parametrize("name", sorted(PAPER_COUNTS))
def test_every_parameter_gets_a_gradient(name, key):
    model = create_model(name, FIELDS)
    images = jax.random.normal(key, (2, 16, 16, 1))
    params = draw_variables(model, images)["params"]
    total = jax.jit(lambda p: model.apply({"params": p}, images, train=True).sum())
    gradients = jax.jit(jax.grad(total))(params)
    assert all(leaf.any() for leaf in jax.tree.leaves(gradients))


def test_deep_supervision_adds_a_head_for_each_resolution_between(key):
    # Heads 8->2 of three resolutions: (8 + 1) * 2 more, and one coarse answer.
    fields = FIELDS | {"deep_supervision": True}
    assert count_params("unet_res", fields, (8, 12)) == SMALL_COUNTS["unet_res"] + 18
    model = create_model("unet_res", fields)
    images = jax.random.normal(key, (2, 16, 8, 1))
    params = {"params": draw_variables(model, images)["params"]}
    logits, said = run(model, params, images, train=True, mutable=["auxiliary"])
    (coarse,) = said["auxiliary"]["logits1"]
    assert coarse.shape == (2, 8, 4, 2) and set(said["auxiliary"]) == {"logits1"}
    assert run(model, params, images, mutable=["auxiliary"])[1] == {}
    plain = create_model("unet_res", FIELDS)
    np.testing.assert_array_equal(run(plain, params, images), logits)


def test_unet_rejects_a_size_it_cannot_halve(key):
    with pytest.raises(ValueError, match="multiples of 4 for 3 resolutions, got 10x8"):
        create_model("unet", FIELDS).init(key, jnp.zeros((1, 10, 8, 1)), train=False)


def test_create_model_names_the_known_models():
    with pytest.raises(ValueError, match="unet, unet_res"):
        create_model("u-net", FIELDS)


def test_create_model_names_a_field_that_the_model_does_not_have():
    with pytest.raises(ValueError, match="widths"):
        create_model("unet", FIELDS | {"widths": (1, 2)})
