"""Networks with torchvision's weights against torchvision's own logits."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scripts.make_golden_logits import (
    FEW_LAYERS,
    NUM_CLASSES,
    VGG_FEATURES,
    VGG_HIDDEN,
    draw_images,
)
from scripts.peers.mask_rcnn_cases import draw_weights
from spectjax.models import create_model
from spectjax.weights import WeightsError
from spectjax.weights.state_dict import read_state_dict
from spectjax.weights.torchvision import convert, load_pretrained
from tests.support.torchvision_files import (
    densenet_layout,
    resnet34_layout,
    vgg_layout,
    write_arrays,
)
from tests.support.torchvision_peer import require_torchvision

NARROW = {"features": VGG_FEATURES, "hidden": VGG_HIDDEN}
NETWORKS = {
    "vgg16": ("specs_v16", NARROW),
    "vgg16_bn": ("specs_v16", NARROW | {"batch_norm": True}),
    "vgg19": ("specs_v19", NARROW),
    "vgg19_bn": ("specs_v19", NARROW | {"batch_norm": True}),
    "resnet34": ("specs_r34", {}),
    "densenet121": ("specs_d121", {}),
    "densenet121 of few layers": ("specs_d121", {"stage_sizes": FEW_LAYERS}),
}
LAYOUTS = {
    "resnet34": resnet34_layout,
    "densenet121": densenet_layout,
    "densenet121 of few layers": functools.partial(densenet_layout, sizes=FEW_LAYERS),
}
# Printed by scripts/make_golden_logits.py with torch 2.13 and torchvision 0.28.
GOLDEN = {
    "vgg16": [[0.36683, 0.15771, -0.19341], [0.19854, 0.00794, -0.21009]],
    "vgg19_bn": [[12.88519, -7.74512, 5.32337], [1.36143, -7.66042, -6.22368]],
    "resnet34": [
        [-929.5172, 1276.88966, 1197.06273],
        [-1464.62098, 2077.96268, 2676.2226],
    ],
    "densenet121": [[3.3147, -1.08985, 1.24498], [6.9429, -0.97052, 3.1065]],
    "densenet121 of few layers": [
        [0.18312, -0.78832, 0.53393],
        [-1.12609, -1.72266, 0.62959],
    ],
}


def layout_of(name, classes=NUM_CLASSES):
    if name in LAYOUTS:
        return LAYOUTS[name](classes)
    return vgg_layout(name, VGG_FEATURES, VGG_HIDDEN, classes)


@functools.cache
def draw(name, classes=NUM_CLASSES):
    return draw_weights(layout_of(name, classes), balanced=False)


def trace(model):
    """The model's variables, all of them 7."""
    shapes = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32),
    )
    return jax.tree.map(lambda x: np.full(x.shape, 7, x.dtype), shapes)


@functools.cache
def build(name):
    """The model that takes torchvision's network `name`, and its fresh variables."""
    ours, fields = NETWORKS[name]
    model = create_model(ours, {"num_classes": NUM_CLASSES} | fields)
    return model, trace(model)


def convert_into(name, state_dict):
    return convert(state_dict, NETWORKS[name][0], build(name)[1])


def run(model, variables, images):
    apply = jax.jit(
        lambda v, x: model.apply(v, x, train=False),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    return apply(variables, images)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n == "densenet121")) for n in GOLDEN],
)
def test_logits_are_those_of_torchvision(name):
    variables, _ = convert_into(name, draw(name))
    logits = run(build(name)[0], variables, draw_images()[..., None])
    largest = np.abs(GOLDEN[name]).max()
    np.testing.assert_allclose(logits, GOLDEN[name], atol=1e-4 * max(largest, 1))


@pytest.mark.parametrize("name", ["vgg16", "vgg19_bn", "resnet34"])
def test_no_fresh_array_is_left_and_none_changes_its_form(name):
    fresh = build(name)[1]
    variables, notes = convert_into(name, draw(name))
    assert jax.tree.structure(variables) == jax.tree.structure(fresh)
    for new, old in zip(*map(jax.tree.leaves, (variables, fresh)), strict=True):
        assert isinstance(new, np.ndarray)
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
        assert not (new == old).any()
    assert len(notes) == 2
    assert "three colours is summed" in notes[1]


def test_a_head_for_other_classes_stays_fresh():
    variables, notes = convert_into("vgg16", draw("vgg16", 1000))
    head = variables["params"].pop("head")
    assert (head["kernel"] == 7).all() and (head["bias"] == 7).all()
    assert not any((x == 7).any() for x in jax.tree.leaves(variables))
    assert "for 1000 classes is left out; the one for 3 starts fresh" in notes[-1]


def test_a_stem_for_grey_is_taken_as_it_is():
    grey = draw("vgg16") | {"features.0.weight": np.ones((4, 1, 3, 3), np.float32)}
    variables, notes = convert_into("vgg16", grey)
    assert (variables["params"]["conv1_1"]["kernel"] == 1).all()
    assert len(notes) == 1


def test_half_precision_becomes_float32():
    halves = {key: x.astype(np.float16) for key, x in draw("vgg16").items()}
    variables, _ = convert_into("vgg16", halves)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype("float32")}


def test_old_names_of_densenet_are_understood():
    few = "densenet121 of few layers"
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): x
        for key, x in draw(few).items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock3.denselayer11.norm.2.running_var" in old
    new = convert_into(few, draw(few))
    assert jax.tree.all(jax.tree.map(np.array_equal, convert_into(few, old)[0], new[0]))


def test_collections_without_weights_stay_as_they_are():
    variables = build("vgg16")[1] | {"perturbations": {"activations": np.zeros(3)}}
    converted, _ = convert(draw("vgg16"), "specs_v16", variables)
    assert not converted["perturbations"]["activations"].any()


@pytest.mark.parametrize("name", ["specs_v7", "specs_v21", "specs_v24", "unet"])
def test_a_model_that_torchvision_lacks_takes_no_file(name, tmp_path):
    with pytest.raises(WeightsError, match=f"{name}. Choose one of specs_v16 .vgg16."):
        load_pretrained(tmp_path / "absent.pth", name, {})


def without(arrays, start):
    return {key: x for key, x in arrays.items() if not key.startswith(start)}


def spoil(name, key, array, classes=NUM_CLASSES):
    return draw(name, classes) | {key: array}


# Convolutions are at 0 2 5 7 10 12 14 17 19 21 24 26 28 in vgg16 and at 0 2 5 7 10 12
# 14 16 19 21 23 25 28 30 32 34 in vgg19, each with weight and bias.
@pytest.mark.parametrize(
    ("into", "draw_other", "message"),
    [
        (
            "vgg19",
            lambda: draw("vgg16"),
            r"arrays of vgg19 for specs_v19, found 12 \(features.16.bias, "
            r"features.16.weight, features.23.bias, \.\.\.\) missing and 6 "
            r"\(features.17.bias, .*\) unexpected. It may be vgg16, which fits "
            r"specs_v16.$",
        ),
        ("vgg16", lambda: draw("vgg19"), "It may be vgg19, which fits specs_v19"),
        ("vgg16", lambda: draw("vgg16_bn"), r"vgg16_bn, .*--config.model.batch_norm=T"),
        ("vgg16_bn", lambda: draw("vgg16"), "It may be vgg16, which fits specs_v16"),
        ("vgg16", lambda: draw("resnet34"), "resnet34, which fits specs_r34"),
        (
            "resnet34",
            lambda: draw("densenet121 of few layers"),
            "none of vgg16, vgg16_bn, vgg19, vgg19_bn, resnet34, densenet121, "
            "maskrcnn_resnet50_fpn, resnet50: give a file of resnet34",
        ),
        (
            "resnet34",
            lambda: without(draw("resnet34"), "layer3.5."),
            "none of vgg16",
        ),
        (
            "vgg16",
            lambda: without(draw("vgg16"), "features.0.bias"),
            r"1 \(features.0.bias\) missing and none unexpected. Download or save",
        ),
        (
            "vgg16",
            lambda: spoil("vgg16", "extra", np.zeros(1)),
            r"none missing and 1 \(extra\) unexpected",
        ),
        (
            "vgg16",
            lambda: spoil("vgg16", "features.2.weight", np.zeros((4, 5, 3, 3))),
            r"features.2.weight expected in shape \(4, 4, 3, 3\), found in "
            r"\(4, 5, 3, 3\). Leave config.model at the full size of vgg16",
        ),
        (
            "vgg16",
            lambda: spoil("vgg16", "classifier.0.weight", np.zeros((16, 768))),
            r"classifier.0.weight expected in shape \(16, 588\), found in \(16, 768\)",
        ),
        (
            "vgg16",
            lambda: spoil("vgg16", "classifier.6.weight", np.zeros((9, 5)), 9),
            r"classifier.6.weight expected in shape \(9, 16\)",
        ),
        (
            "vgg16",
            lambda: spoil("vgg16", "features.0.bias", np.full(4, np.nan)),
            "finite floating-point numbers in features.0.bias",
        ),
        (
            "vgg16",
            lambda: spoil("vgg16", "features.0.bias", np.zeros(4, np.int8)),
            r"floating-point numbers in features.0.bias, found others \(int8\)",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(into, draw_other, message):
    with pytest.raises(WeightsError, match=message) as refused:
        convert_into(into, draw_other())
    assert "\n" not in str(refused.value)


def test_a_map_of_another_size_than_torchvision_has_is_refused():
    fields = {"num_classes": 2, "pool_hw": (4, 4)} | NARROW
    variables = trace(create_model("specs_v16", fields))
    with pytest.raises(WeightsError, match=r"7x7 before fc1, found 16 pixels.*pool_hw"):
        convert(draw("vgg16"), "specs_v16", variables)


@pytest.mark.parametrize("old", [False, True])
def test_load_pretrained_reads_a_file_and_names_it(tmp_path, old):
    path = write_arrays(tmp_path / "vgg16.pth", draw("vgg16"), old=old)
    read, notes = load_pretrained(path, "specs_v16", build("vgg16")[1])
    expected, _ = convert_into("vgg16", draw("vgg16"))
    assert jax.tree.all(jax.tree.map(np.array_equal, read, expected))
    assert f"torchvision's vgg16 from {path}. Experimental: " in notes[0]
    with pytest.raises(WeightsError, match=f"^{path}: expected the arrays of vgg19"):
        load_pretrained(path, "specs_v19", build("vgg19")[1])


@pytest.fixture
def networks():
    """The module of networks that is the oracle."""
    return require_torchvision().models


FULL = {
    "vgg16": functools.partial(vgg_layout, "vgg16"),
    "vgg16_bn": functools.partial(vgg_layout, "vgg16_bn"),
    "vgg19": functools.partial(vgg_layout, "vgg19"),
    "vgg19_bn": functools.partial(vgg_layout, "vgg19_bn"),
    "resnet34": resnet34_layout,
    "densenet121": densenet_layout,
}


@pytest.mark.parametrize("name", FULL)
def test_control_names_and_shapes_are_those_of_torchvision(name, networks):
    import torch

    size = {"features": (64, 128, 256, 512, 512), "hidden": 4096}
    layout = FULL[name](classes=1000, **(size if "vgg" in name else {}))
    with torch.device("meta"):
        network = getattr(networks, name)()
    assert {k: tuple(x.shape) for k, x in network.state_dict().items()} == layout


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_networks_have_the_logits_of_torchvision(name, networks, tmp_path):
    import safetensors.torch
    import torch

    torch.manual_seed(0)
    network = getattr(networks, name)(num_classes=1000).eval()
    state = network.state_dict()
    for key, tensor in state.items():
        if key.endswith(("running_var", "running_mean", "bias")):
            tensor.uniform_(*((0.5, 1.5) if "var" in key else (-0.2, 0.2)))
    paths = [tmp_path / end for end in ("new.pth", "old.pth", "any.safetensors")]
    torch.save(state, paths[0])
    torch.save(state, paths[1], _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, paths[2])

    ours, fields = NETWORKS[name]
    full = {key: x for key, x in fields.items() if key == "batch_norm"}
    model = create_model(ours, {"num_classes": 1000} | full)
    for path in paths[:2]:
        arrays = read_state_dict(path)
        assert arrays.keys() == state.keys()
        assert all(np.array_equal(arrays[key], x.numpy()) for key, x in state.items())
    variables, _ = load_pretrained(paths[2], ours, trace(model))
    for path in paths:  # half a gigabyte each
        path.unlink()
    images = draw_images()
    with torch.inference_mode():
        grey = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1)
        expected = network(grey).numpy()
    logits = run(model, variables, images[..., None])
    assert np.ptp(expected[0] - expected[1]) > 0.01
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
