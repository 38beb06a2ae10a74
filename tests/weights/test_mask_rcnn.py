"""Files of torchvision's Mask R-CNN and ResNet-50 as weights of ours."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scripts.peers.mask_rcnn_cases import draw_weights
from spectjax.models import create_model
from spectjax.models.bottleneck import BottleneckBody
from spectjax.ops.convolution import up_convolve
from spectjax.weights import WeightsError
from spectjax.weights.torchvision import convert, load_pretrained
from tests.support.torchvision_files import (
    mask_rcnn_layout,
    resnet34_layout,
    resnet50_layout,
    write_arrays,
)

CLASSES = 3
SIZES = (1, 1, 1, 1)
WIDTHS = {"stem": 4, "channels": 8, "box_features": 10, "mask_features": 6}
FIELDS = {
    "num_classes": CLASSES,
    "stage_sizes": SIZES,
    "features": (4, 8, 16, 32),
    "pyramid_features": 8,
    "box_features": 10,
    "mask_features": 6,
    "anchor_sizes": ((8,), (16,), (32,), (64,), (96,)),
    "stem_pool": True,
}
BBOX = "roi_heads.box_predictor.bbox_pred"
CONV5 = "roi_heads.mask_predictor.conv5_mask.weight"


@functools.cache
def draw(classes=CLASSES, frozen=False):
    layout = mask_rcnn_layout(classes, SIZES, **WIDTHS, frozen=frozen)
    return draw_weights(layout)


@functools.cache
def trace_once():
    model = create_model("mask_rcnn", FIELDS)
    return jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32),
    )


def trace():
    """The model's variables for grey images, all of them 7."""
    return jax.tree.map(lambda x: seven(x.shape), trace_once())


def seven(shape):
    return np.full(shape, 7, np.float32)


def convert_small(state_dict, name="mask_rcnn", variables=None):
    return convert(state_dict, name, variables or trace())


def find_fresh(variables):
    """Modules of which every array is still 7."""
    leaves = jax.tree.leaves_with_path(variables["params"])
    return {
        "/".join(key.key for key in path[:-1]) for path, x in leaves if (x == 7).all()
    }


def test_all_arrays_are_taken_in_their_forms():
    fresh = trace()
    variables, notes = convert_small(draw())
    assert jax.tree.structure(variables) == jax.tree.structure(fresh)
    for new, old in zip(*map(jax.tree.leaves, (variables, fresh)), strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
        assert not (new == 7).any()
    assert notes == [
        "Weights of torchvision's maskrcnn_resnet50_fpn from state dict. Experimental: "
        "what they bring was not measured.",
        "Their stem for three colours is summed into one for grey.",
    ]
    stem = draw()["backbone.body.conv1.weight"].sum(axis=1)
    ours = variables["params"]["backbone"]["stem"]["kernel"]
    np.testing.assert_allclose(ours[:, :, 0, 3], stem[3], rtol=1e-6)


def test_deltas_of_boxes_change_their_order():
    arrays = draw() | {
        # torchvision's dx, dy, dw, dh of three anchors and of three classes.
        "rpn.head.bbox_pred.bias": np.arange(12, dtype=np.float32),
        f"{BBOX}.weight": np.arange(12, dtype=np.float32)[:, None] + np.zeros((1, 10)),
    }
    params = convert_small(arrays)[0]["params"]
    swapped = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10]
    np.testing.assert_array_equal(params["rpn"]["deltas"]["bias"], swapped)
    kernel = params["box_head"]["deltas"]["kernel"]
    assert kernel.shape == (10, 12)
    np.testing.assert_array_equal(kernel[4], swapped)


def test_regions_are_flattened_from_rows_columns_channels():
    weight = draw()["roi_heads.box_head.fc6.weight"]
    kernel = convert_small(draw())[0]["params"]["box_head"]["fc1"]["kernel"]
    for channel, y, x in ((0, 0, 0), (7, 2, 5), (3, 6, 1)):
        np.testing.assert_array_equal(
            kernel[(7 * y + x) * 8 + channel], weight[:, 49 * channel + 7 * y + x]
        )


def test_up_convolution_is_the_transposed_convolution():
    weight = draw()[CONV5]
    kernel = convert_small(draw())[0]["params"]["mask_head"]["up"]["kernel"]
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 6)).astype(np.float32)
    expected = np.zeros((1, 4, 6, 6))
    # By definition each input pixel adds its kernel to the output, at twice its place.
    for h in range(2):
        for w in range(3):
            patch = np.einsum("c,coij->ijo", x[0, h, w], weight)
            expected[0, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2] += patch
    np.testing.assert_allclose(up_convolve(x, kernel), expected, atol=1e-5)


def test_outputs_for_other_classes_start_fresh():
    variables, notes = convert_small(draw(classes=5))
    assert find_fresh(variables) == {
        "box_head/logits",
        "box_head/deltas",
        "mask_head/logits",
    }
    assert notes[2:] == [
        "Their output of boxes and masks for 5 classes is left out; the one for 3 "
        "starts fresh."
    ]


def test_outputs_for_other_anchors_start_fresh():
    own = trace()
    for name, count in (("objectness", 6), ("deltas", 24)):
        own["params"]["rpn"][name] = {
            "kernel": seven((1, 1, 8, count)),
            "bias": seven(count),
        }
    variables, notes = convert_small(draw(), variables=own)
    assert find_fresh(variables) == {"rpn/objectness", "rpn/deltas"}
    assert notes[2:] == [
        "Their output of proposals for 3 anchors at a place is left out; the one for 6 "
        "starts fresh."
    ]


@pytest.mark.parametrize("within", [("backbone",), ("backbone", "stage1_1")])
def test_attention_starts_fresh(within):
    own = trace()
    part = functools.reduce(lambda tree, key: tree[key], within, own["params"])
    part["attention"] = {"conv": {"kernel": seven((7, 7, 2, 1)), "bias": seven(1)}}
    variables, notes = convert_small(draw(), "mask_rcnn_att", own)
    name = "/".join((*within, "attention"))
    assert find_fresh(variables) == {f"{name}/conv"}
    assert notes[2:] == [f"They have nothing for 1 ({name}): these start fresh."]


def test_names_of_old_files_are_understood():
    old = {}
    for name, array in draw().items():
        name = re.sub(r"(blocks\.\d)\.0\.", r"\1.", name)
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        layer = re.fullmatch(r"(roi_heads\.mask_head\.)(\d)\.0(\..*)", name)
        if layer:
            name = f"{layer[1]}mask_fcn{int(layer[2]) + 1}{layer[3]}"
        old[name] = array
    assert {"backbone.fpn.inner_blocks.3.bias", "rpn.head.conv.weight"} <= old.keys()
    assert "roi_heads.mask_head.mask_fcn4.weight" in old
    converted = convert_small(old)[0]
    same = jax.tree.map(np.array_equal, converted, convert_small(draw())[0])
    assert jax.tree.all(same)


def test_variances_of_coco_v1_make_up_for_our_epsilon():
    # Most of a trained network's are of this size, a few next to nothing.
    theirs = np.geomspace(1e-12, 1, 128).astype(np.float32)
    name = "backbone.body.layer4.0.bn3.running_var"
    variables, notes = convert_small(draw(91, frozen=True) | {name: theirs})
    ours = variables["batch_stats"]["backbone"]["stage4_1"]["norm3"]["var"]
    assert (ours + np.float32(1e-5) > 0).all()
    factor = 1 / np.sqrt(ours + np.float32(1e-5))
    trusted = theirs > 2e-9
    np.testing.assert_allclose(factor[trusted], theirs[trusted] ** -0.5, rtol=1e-3)
    assert (factor[~trusted] < 1e5).all()
    assert "look like it (91 classes, no count of batches)" in notes[2]


@pytest.mark.parametrize(("classes", "frozen"), [(91, False), (3, True)])
def test_other_variances_stay_as_they_are(classes, frozen):
    arrays = draw(classes, frozen)
    variables, notes = convert_small(arrays)
    ours = variables["batch_stats"]["backbone"]["stem_norm"]["var"]
    np.testing.assert_array_equal(ours, arrays["backbone.body.bn1.running_var"])
    assert not any("epsilon" in note for note in notes)


@pytest.fixture(scope="module")
def body():
    """Variables of a ResNet-50's body and a little more, all of them 7."""
    module = BottleneckBody(
        (3, 4, 6, 3), (64, 128, 256, 512), True, "frozen", "stage", False, jnp.float32
    )
    shapes = jax.eval_shape(
        lambda x: module.init(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32),
    )
    full = jax.tree.map(lambda x: np.full(x.shape, 7, x.dtype), shapes)
    pyramid = {"lateral1": {"bias": np.full(4, 7, np.float32)}}
    return {
        "params": {"backbone": full["params"], "pyramid": pyramid},
        "batch_stats": {"backbone": full["batch_stats"]},
    }


def fill(layout):
    """Arrays that know their place: the number of each in the layout."""
    return {
        name: np.full(shape, i, np.float32)
        for i, (name, shape) in enumerate(layout.items(), start=100)
    }


def test_a_resnet50_gives_the_body_alone(body):
    arrays = fill(resnet50_layout())
    variables, notes = convert(arrays, "mask_rcnn_att", body)
    assert "torchvision's resnet50 from state dict. Experimental: " in notes[0]
    assert notes[2] == (
        "They have nothing for 5 (backbone/attention1, backbone/attention2, "
        "backbone/attention3, backbone/attention4, pyramid): these start fresh."
    )
    assert (variables["params"]["pyramid"]["lateral1"]["bias"] == 7).all()
    ours = variables["params"]["backbone"]
    third = ours["stage3_6"]
    assert third["conv3"]["kernel"][0, 0, 0, 0] == arrays["layer3.5.conv3.weight"].max()
    assert third["norm3"]["scale"][0] == arrays["layer3.5.bn3.weight"][0]
    projection = variables["batch_stats"]["backbone"]["stage4_1"]["project_norm"]
    assert projection["var"][0] == arrays["layer4.0.downsample.1.running_var"][0]


def without(arrays, start):
    return {key: x for key, x in arrays.items() if not key.startswith(start)}


@pytest.mark.parametrize(
    ("state_dict", "message"),
    [
        (
            lambda: draw() | {"backbone.fpn.inner_blocks.0.1.weight": np.zeros(8)},
            "It may be maskrcnn_resnet50_fpn_v2, which no model here is.$",
        ),
        (
            lambda: fill(resnet34_layout(4)),
            r"arrays of maskrcnn_resnet50_fpn for mask_rcnn, found \d+ .* It may be "
            "resnet34, which fits specs_r34",
        ),
        (
            lambda: without(draw(), "roi_heads.mask"),
            r"found 12 \(roi_heads.mask_head.0.0.bias, .* It is none of vgg16, ",
        ),
        (
            lambda: without(draw(), "roi_heads.box_predictor"),
            "4 .roi_heads.box_predictor.bbox_pred.bias, .* Download or save it again",
        ),
        (
            lambda: draw() | {CONV5: np.zeros((6, 6, 3, 3))},
            r"conv5_mask.weight expected in shape \(6, 6, 2, 2\), found in "
            r"\(6, 6, 3, 3\)",
        ),
        (
            lambda: draw() | {f"{BBOX}.bias": np.zeros(8)},
            rf"{BBOX}.bias expected in shape \(12,\), found in \(8,\)",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(state_dict, message):
    with pytest.raises(WeightsError, match=message) as refused:
        convert_small(state_dict())
    assert "\n" not in str(refused.value)


def test_group_normalisation_is_told_to_go():
    own = trace() | {"batch_stats": {}}
    with pytest.raises(
        WeightsError, match=r"unexpected. Set --config.model.norm=batch or frozen.$"
    ):
        convert_small(draw(), variables=own)


def test_a_network_of_another_size_is_refused():
    own = trace()
    own["params"]["mask_head"]["conv2"]["bias"] = seven(5)
    with pytest.raises(
        WeightsError,
        match=r"roi_heads.mask_head.1.0.bias expected in shape \(5,\), found in "
        r"\(6,\). Leave config.model at the full size of maskrcnn_resnet50_fpn.$",
    ):
        convert_small(draw(), variables=own)


def test_a_resnet50_does_not_fit_a_classifier():
    arrays = fill(resnet50_layout(stem=64))
    own = {"params": {"head": {"kernel": seven((8, 2)), "bias": seven(2)}}}
    with pytest.raises(WeightsError, match="It may be resnet50, which fits mask_rcnn."):
        convert(arrays, "specs_r34", own)


def test_load_pretrained_reads_a_file(tmp_path):
    path = write_arrays(tmp_path / "mask_rcnn.pth", draw())
    read, notes = load_pretrained(path, "mask_rcnn", trace())
    same = jax.tree.map(np.array_equal, read, convert_small(draw())[0])
    assert jax.tree.all(same)
    assert str(path) in notes[0]
