"""Tests of [P2]'s classifiers: sizes by hand, numbers by hand, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from spectjax.models import MODELS, create_model
from spectjax.models.classifier import draw_weights
from spectjax.models.densenet import DenseNet
from spectjax.models.resnet import ResidualBlock
from spectjax.models.vgg import VGG

# Counted by hand, for one input channel and two classes. A 3x3 convolution from c to d
# channels has (9c + 1) d parameters:
#   1->64: 640, 64->64: 36 928, 64->128: 73 856, 128->128: 147 584,
#   128->256: 295 168, 256->256: 590 080, 256->512: 1 180 160, 512->512: 2 359 808;
# the fully connected layers 7*7*512->4096, 4096->4096, 4096->2 have
#   102 764 544 + 16 781 312 + 8 194 = 119 554 050.
FULLY_CONNECTED = 119_554_050
V16 = 640 + 36_928 + 73_856 + 147_584 + 295_168 + 2 * 590_080
V16 += 1_180_160 + 5 * 2_359_808 + FULLY_CONNECTED
COUNTS = {
    "specs_v7": 640 + 73_856 + 295_168 + 1_180_160 + FULLY_CONNECTED,
    "specs_v16": V16,
    # One more convolution in each of the last three stages.
    "specs_v19": V16 + 590_080 + 2 * 2_359_808,
    # Two more of 512 channels than V19; then one of 256 and two of 512.
    "specs_v21": V16 + 590_080 + 4 * 2_359_808,
    "specs_v24": V16 + 2 * 590_080 + 6 * 2_359_808,
    # The published networks, less two channels of the 7x7 stem of 64 features and 998
    # classes: 512 or 1024 features and a bias each.
    "specs_r34": 21_797_672 - 2 * 64 * 49 - 998 * 513,
    "specs_d121": 7_978_856 - 2 * 64 * 49 - 998 * 1025,
}
# Published for three channels and 1000 classes.
PUBLISHED = {
    "specs_v16": 138_357_544,
    "specs_v19": 143_667_240,
    "specs_r34": 21_797_672,
    "specs_d121": 7_978_856,
}
# [P2] names the networks by their layers with weights.
LAYERS = {"specs_v7": 7, "specs_v16": 16, "specs_v19": 19, "specs_v21": 21}
LAYERS |= {"specs_v24": 24, "specs_r34": 34, "specs_d121": 121}

SMALL_VGG = {"features": (2, 3, 3, 4, 4), "hidden": 5, "pool_hw": (2, 2)}
SMALL = dict.fromkeys(COUNTS, SMALL_VGG) | {
    "specs_r34": {"stage_sizes": (1, 2), "features": (4, 6)},
    "specs_d121": {"stage_sizes": (2, 1), "growth": 4, "stem_features": 6},
}


def shapes_of(model, channels=1, hw=(256, 256)):
    """Shapes of the logits and of the variables, without computing anything."""
    images = jax.ShapeDtypeStruct((2, *hw, channels), jnp.float32)
    return jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x, train=False), images
    )


def draw_variables(model, hw, *, seed=0):
    """Kernels by He's rule, all else near one; drawn without compiling anything."""
    generator = np.random.default_rng(seed)

    def draw(leaf):
        values = generator.standard_normal(leaf.shape)
        if len(leaf.shape) > 1:
            values *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
        else:
            values = 1 + 0.1 * values
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map(draw, shapes_of(model, hw=hw)[1])


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_every_classifier_has_a_parameter_count():
    assert set(COUNTS) == {name for name in MODELS if name.startswith("specs_")}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_classifier_has_the_parameters_and_layers_of_the_paper(name):
    logits, variables = shapes_of(create_model(name, {"num_classes": 2}))
    assert (logits.shape, logits.dtype) == ((2, 2), jnp.float32)
    assert count(variables["params"]) == COUNTS[name]
    kernels = [
        path
        for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"])
        if path[-1].key == "kernel"
    ]
    projections = [path for path in kernels if path[-2].key == "project"]
    assert len(kernels) - len(projections) == LAYERS[name]
    assert set(variables) <= {"params", "batch_stats"}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_standard_network_has_the_published_number_of_parameters(name):
    _, variables = shapes_of(create_model(name, {"num_classes": 1000}), channels=3)
    assert count(variables["params"]) == PUBLISHED[name]


def test_batch_norm_in_a_vgg_replaces_each_bias_by_scale_and_bias():
    plain, normalised = (
        create_model(
            "specs_v16", {"num_classes": 2, **SMALL_VGG, "batch_norm": batch_norm}
        )
        for batch_norm in (False, True)
    )
    # One more for each channel of a convolution: 2 (2 + 3) + 3 (3 + 4 + 4).
    assert (
        count(shapes_of(normalised)[1]["params"])
        == count(shapes_of(plain)[1]["params"]) + 43
    )


def test_a_vgg_computes_what_a_hand_does():
    model = VGG(
        2, (1, 0), (1, 1), hidden=1, pool_hw=(1, 1), activation="elu", dropout=0.5
    )
    delta = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    params = {
        "conv1_1": {"kernel": delta, "bias": jnp.array([-2.0])},
        "fc1": {"kernel": jnp.array([[3.0]]), "bias": jnp.array([0.5])},
        "fc2": {"kernel": jnp.array([[-1.0]]), "bias": jnp.array([0.0])},
        "head": {"kernel": jnp.array([[2.0, -1.0]]), "bias": jnp.array([0.0, 7.0])},
    }
    # 0 to 15, and zeros.
    images = jnp.stack([jnp.arange(16.0), jnp.zeros(16)]).reshape(2, 4, 4, 1)
    logits = jax.jit(functools.partial(model.apply, train=False))(
        {"params": params}, images
    )
    # The largest of 16 pixels is 15; 15 - 2 = 13; 3 * 13 + 0.5 = 39.5; ELU(-39.5) = -1.
    # Of zeros ELU(-2) = e^-2 - 1 is negative, and what follows is positive again.
    hidden = -np.expm1(3 * np.expm1(-2) + 0.5)
    expected = [[-2, 8], [2 * hidden, 7 - hidden]]
    np.testing.assert_allclose(logits, expected, rtol=1e-6)


def test_a_vgg_flattens_rows_then_columns_then_channels():
    model = VGG(2, (0,), (1,), hidden=4, pool_hw=(1, 2))
    params = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape), shapes_of(model, channels=2)[1]["params"]
    )
    params["fc1"]["kernel"] = jnp.eye(4)
    params["fc2"]["kernel"] = jnp.eye(4)
    params["head"]["kernel"] = jnp.array([[1.0, 0], [10, 0], [100, 0], [1000, 0]])
    # Two columns after pooling, with channels 1, 2 and 3, 4.
    image = jnp.repeat(jnp.repeat(jnp.array([[[[1.0, 2], [3, 4]]]]), 2, 1), 2, 2)
    logits = jax.jit(functools.partial(model.apply, train=False))(
        {"params": params}, image
    )
    np.testing.assert_allclose(logits, [[4321, 0]])


def silent_block(features, channels, stride):
    """A residual block whose branch adds nothing."""
    block = ResidualBlock(features, stride, "he", jnp.float32)
    x = jnp.asarray(
        np.random.default_rng(0).standard_normal((1, 5, 6, channels)), jnp.float32
    )
    variables = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape),
        jax.eval_shape(
            functools.partial(block.init, train=False), jax.random.key(0), x
        ),
    )
    return block, x, variables


def test_a_residual_block_with_a_silent_branch_passes_its_input_through():
    block, x, variables = silent_block(3, 3, 1)
    assert "project" not in variables["params"]
    found = block.apply(variables, x, train=False)
    np.testing.assert_array_equal(found, jnp.maximum(x, 0))


def test_a_residual_block_projects_where_size_or_channels_change():
    block, x, variables = silent_block(2, 3, 2)
    project = jnp.zeros((1, 1, 3, 2)).at[0, 0, 2, 0].set(1.0).at[0, 0, 0, 1].set(2.0)
    variables["params"]["project"]["kernel"] = project
    variables["params"]["project_norm"]["scale"] = jnp.ones(2)
    variables["batch_stats"]["project_norm"]["var"] = jnp.ones(2)
    found = block.apply(variables, x, train=False)
    # Every other pixel of channels 2 and, doubled, 0; over sqrt(1 + 1e-5).
    expected = np.maximum(np.stack([x[:, ::2, ::2, 2], 2 * x[:, ::2, ::2, 0]], -1), 0)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


class PlainDenseNet(nn.Module):
    """DenseNet as its paper draws it, of flax's own layers."""

    stage_sizes: tuple[int, ...]
    growth: int
    stem_features: int
    bottleneck: int

    @nn.compact
    def __call__(self, x, *, train):
        """Returns logits."""

        def normalise(x, name):
            norm = nn.BatchNorm(
                not train, momentum=0.9, use_fast_variance=False, name=name
            )
            return nn.relu(norm(x))

        def convolve(x, features, size, name, stride=1):
            margin = size // 2
            return nn.Conv(
                features,
                (size, size),
                stride,
                [(margin, margin)] * 2,
                use_bias=False,
                name=name,
            )(x)

        x = normalise(convolve(x, self.stem_features, 7, "stem", 2), "stem_norm")
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, size in enumerate(self.stage_sizes, start=1):
            if stage > 1:
                place = f"transition{stage - 1}"
                x = normalise(x, f"{place}/norm")
                x = convolve(x, x.shape[-1] // 2, 1, f"{place}/conv")
                x = nn.avg_pool(x, (2, 2), (2, 2))
            for i in range(1, size + 1):
                place = f"block{stage}_{i}"
                y = normalise(x, f"{place}/norm1")
                y = convolve(y, self.bottleneck * self.growth, 1, f"{place}/conv1")
                y = normalise(y, f"{place}/norm2")
                y = convolve(y, self.growth, 3, f"{place}/conv2")
                x = jnp.concatenate([x, y], axis=-1)
        x = normalise(x, "last_norm").mean((1, 2))
        return nn.Dense(2, name="head")(x)


def flatten(tree):
    """Joins a module's path to one name, as `PlainDenseNet` has it."""
    flat = {}
    for name, value in tree.items():
        inner = next(iter(value.values()))
        if isinstance(inner, dict):
            flat |= {f"{name}/{key}": leaf for key, leaf in value.items()}
        else:
            flat[name] = value
    return flat


def test_densenet_equals_its_plain_form_in_value_statistics_and_gradient():
    fields = {"stage_sizes": (2, 1), "growth": 4, "stem_features": 6, "bottleneck": 2}
    hw = (22, 17)
    model, plain = DenseNet(2, **fields), PlainDenseNet(**fields)
    variables = draw_variables(model, hw)
    draw = np.random.default_rng(1)
    images = jnp.asarray(draw.standard_normal((3, *hw, 1)), jnp.float32)
    weights = jnp.asarray(draw.standard_normal((3, 2)), jnp.float32)

    def run(apply, variables):
        @jax.jit
        @functools.partial(jax.value_and_grad, has_aux=True)
        def loss(params, stats, images):
            logits, updates = apply(
                {"params": params, "batch_stats": stats},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            return jnp.sum(weights * jnp.tanh(logits)), (logits, updates)

        return loss(variables["params"], variables["batch_stats"], images)

    (_, (logits, updates)), gradient = run(model.apply, variables)
    flat = {name: flatten(tree) for name, tree in variables.items()}
    (_, (expected, expected_updates)), expected_gradient = run(plain.apply, flat)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    for found, wanted in (
        (flatten(gradient), expected_gradient),
        (flatten(updates["batch_stats"]), expected_updates["batch_stats"]),
    ):
        assert jax.tree.structure(found) == jax.tree.structure(wanted)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5),
            found,
            wanted,
        )


@pytest.mark.parametrize("name", ["specs_v7", "specs_r34", "specs_d121"])
def test_every_parameter_gets_a_gradient_and_images_differ(name):
    model = create_model(name, {"num_classes": 2, **SMALL[name]})
    hw = (48, 40)  # not a multiple of 32
    variables = draw_variables(model, hw)
    images = jnp.asarray(np.random.default_rng(1).uniform(size=(2, *hw, 1)), "float32")

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def differentiate(params, variables):
        logits, _ = model.apply(
            {**variables, "params": params},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
        return logits[0] @ jnp.array([1.0, -2.0]), logits

    gradients, logits = differentiate(variables["params"], variables)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert leaf.any(), path
    assert (logits[0] != logits[1]).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    # 64x48 pixels: before the last of five poolings, and at a quarter and half of that.
    [("specs_v16", (4, 3, 4)), ("specs_r34", (8, 6, 6)), ("specs_d121", (8, 6, 11))],
)
def test_a_classifier_shows_its_last_map_to_grad_cam(name, shape):
    model = create_model(name, {"num_classes": 2, **SMALL[name]})
    images = jax.ShapeDtypeStruct((2, 64, 48, 1), jnp.float32)
    look = functools.partial(
        model.apply, train=False, mutable=["intermediates", "perturbations"]
    )
    _, shown = jax.eval_shape(look, shapes_of(model, hw=(64, 48))[1], images)
    (activations,) = shown["intermediates"]["activations"]
    assert activations.shape == shown["perturbations"]["activations"].shape
    assert activations.shape == (2, *shape)


def test_a_perturbation_of_the_last_map_reaches_the_logits():
    model = VGG(2, (0,), (1,), hidden=1, pool_hw=(1, 1), activation="elu")
    one = {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}
    head = {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.zeros(2)}
    variables = {"params": {"fc1": one, "fc2": one, "head": head}}
    image = jnp.array([[1.0, 4.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)

    @jax.jit
    def differentiate(perturbation):
        def logit(perturbation):
            perturbed = {"activations": perturbation}
            return model.apply(
                {**variables, "perturbations": perturbed}, image, train=False
            )[0, 1]

        return jax.value_and_grad(logit)(perturbation)

    # The largest pixel, 4, goes through; so does the gradient.
    value, gradient = differentiate(jnp.zeros((1, 2, 2, 1)))
    assert value == -4
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[0, -1], [0, 0]])


@pytest.mark.parametrize("name", ["specs_v16", "specs_r34"])
def test_bfloat16_gives_float32_logits_close_to_float32_ones(name):
    model = create_model(name, {"num_classes": 2, **SMALL[name]})
    variables = draw_variables(model, (32, 32))
    images = jnp.asarray(np.random.default_rng(1).uniform(size=(2, 32, 32, 1)))
    images = images.astype(jnp.float32)
    exact, rounded = (
        jax.jit(functools.partial(m.apply, train=False))(variables, images)
        for m in (model, model.clone(dtype="bfloat16"))
    )
    assert rounded.dtype == jnp.float32
    np.testing.assert_allclose(rounded, exact, atol=0.1 * np.abs(exact).max())
    assert not (rounded == exact).all()


def test_weights_begin_by_the_rule_of_he():
    kernel = draw_weights("he")(jax.random.key(0), (3, 3, 16, 200), jnp.float32)
    assert kernel.std() == pytest.approx(np.sqrt(2 / 144), rel=0.03)
    assert abs(kernel.mean()) < 0.005


def test_all_weights_begin_with_the_same_width_if_the_field_says_so():
    model = VGG(2, (1,), (64,), hidden=90, pool_hw=(1, 1), initial="normal")
    init = jax.jit(functools.partial(model.init, train=False))
    params = init(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))["params"]
    for layer in params.values():
        # 180 weights in the last layer: three standard deviations are 16 %.
        assert layer["kernel"].std() == pytest.approx(0.05, rel=0.16)
        assert not layer["bias"].any()


@pytest.mark.parametrize("name", ["specs_v7", "specs_r34", "specs_d121"])
def test_an_image_of_which_nothing_would_be_left_is_refused(name):
    model = create_model(name, {"num_classes": 2})
    with pytest.raises(
        ValueError, match="at least 32x32 pixels, .* 5 times, got 64x31"
    ):
        shapes_of(model, hw=(64, 31))
    shapes_of(model, hw=(32, 33))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"activation": "tanh"}, "Unknown activation 'tanh'; known: relu, elu"),
        ({"initial": "zeros"}, "Unknown initial weights 'zeros'; known: he, normal"),
        ({"features": (2, 2)}, "as many features as stages"),
        ({"dropout": 1.5}, "dropout rate"),
        ({"widths": (2, 2)}, "widths"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(create_model("specs_v16", {"num_classes": 2, **fields}))
