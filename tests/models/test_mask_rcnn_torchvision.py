"""Mask R-CNN in torchvision's setting against torchvision's own, stage by stage."""

import dataclasses
import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scripts.make_golden_mask_rcnn import thin
from scripts.peers.mask_rcnn_cases import (
    FULL,
    SMALL,
    draw_images,
    draw_truth,
    draw_weights,
)
from scripts.peers.torchvision_mask_rcnn import (
    WEIGHTS,
    build,
    compute_losses,
    compute_stages,
)
from spectjax.detector_sizes import TORCHVISION
from spectjax.models import create_model
from spectjax.models.mask_rcnn import MaskRCNN
from spectjax.models.proposals import propose
from spectjax.ops.anchors import make_anchors
from spectjax.ops.instances import find_boxes
from spectjax.ops.mask_paste import paste_masks
from spectjax.tasks.hotspots.detection_losses import compute_detection_losses
from spectjax.weights.torchvision import convert
from tests.support.torchvision_files import mask_rcnn_layout
from tests.support.torchvision_peer import require_torchvision

# Written by scripts/make_golden_mask_rcnn.py with torch 2.13 and torchvision 0.28.
GOLDEN = pathlib.Path(__file__).with_name("mask_rcnn_torchvision.npz")
LESIONS = 4  # at most, of an image
# torchvision's names of our losses.
LOSSES = {
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "box_class": "loss_classifier",
    "box_delta": "loss_box_reg",
    "mask": "loss_mask",
}
# Our names of the weights whose gradients are known.
OURS = dict(
    zip(
        WEIGHTS,
        (
            ("backbone", "stem", "kernel"),
            ("backbone", "stage2_1", "conv2", "kernel"),
            ("backbone", "stage4_1", "project", "kernel"),
            ("pyramid", "lateral1", "kernel"),
            ("pyramid", "output3", "bias"),
            ("rpn", "deltas", "kernel"),
            ("box_head", "fc1", "kernel"),
            ("box_head", "deltas", "kernel"),
            ("mask_head", "up", "kernel"),
        ),
        strict=True,
    )
)


def swap_axes(boxes):
    """(y, x, y, x) to (x, y, x, y), or deltas likewise; its own inverse."""
    return np.asarray(boxes)[..., [1, 0, 3, 2]]


def channels_first(x):
    return np.moveaxis(x, -1, 1)


def make_model(setting, **fields):
    """Our network of a size, which learns from all anchors and all proposals."""
    anchors = sum(
        3 * math.prod(-(-side // stride) for side in setting.image_hw)
        for stride in (4, 8, 16, 32, 64)
    )
    return create_model(
        "mask_rcnn",
        TORCHVISION
        | {
            "num_classes": setting.num_classes,
            "stage_sizes": setting.stage_sizes,
            "pyramid_features": setting.pyramid_features,
            "box_features": setting.box_features,
            "mask_features": setting.mask_features,
            "anchor_sizes": tuple((size,) for size in setting.anchor_sizes),
            "rpn_samples": anchors,
            "rpn_positive": 1.0,
            "pre_nms": (setting.pre_nms, setting.pre_nms),
            "proposals": (setting.proposals, setting.proposals),
            "roi_samples": setting.proposals + LESIONS,
            "roi_positive": 1.0,
            "detections": setting.detections,
            "max_instances": LESIONS,
        }
        | fields,
    )


@functools.cache
def draw_state_dict(setting):
    layout = mask_rcnn_layout(
        setting.num_classes,
        setting.stage_sizes,
        channels=setting.pyramid_features,
        box_features=setting.box_features,
        mask_features=setting.mask_features,
    )
    return draw_weights(layout)


@functools.cache
def trace(setting):
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(
        lambda x: make_model(setting).init(jax.random.key(0), x, train=False), images
    )
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


@functools.cache
def load(setting):
    return convert(draw_state_dict(setting), "mask_rcnn", trace(setting))[0]


def compile_quickly(function):
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def infer(setting):
    """What our network's stages make of the images, in torchvision's order of axes."""
    model = make_model(setting)
    images = np.moveaxis(draw_images(setting), 1, -1)

    hw = setting.image_hw
    anchors = make_anchors(
        hw, model.strides, model.anchor_sizes, model.anchor_ratios, rounded=True
    )

    def run(variables, images):
        found, captured = model.apply(
            variables,
            images,
            train=False,
            capture_intermediates=True,
            mutable=["intermediates"],
        )
        inner = {
            name: calls["__call__"][0]
            for name, calls in captured["intermediates"].items()
            if name != "__call__"
        }
        proposals = jax.vmap(
            functools.partial(
                propose,
                anchors=[jnp.asarray(a) for a in anchors],
                hw=hw,
                pre_nms=setting.pre_nms,
                count=setting.proposals,
                nms_iou=model.rpn_nms_iou,
            )
        )(*inner["rpn"])
        return found, inner, proposals

    found, inner, proposals = compile_quickly(run)(load(setting), images)
    stages = {f"c{i}": x for i, x in enumerate(inner["backbone"], start=2)}
    stages |= {f"p{i}": x for i, x in enumerate(inner["pyramid"], start=2)}
    stages = {name: channels_first(x) for name, x in stages.items()}
    assert np.all(found.valid) and np.all(proposals.valid)
    return stages | {
        "objectness": np.concatenate(inner["rpn"][0], axis=1),
        "rpn_deltas": swap_axes(np.concatenate(inner["rpn"][1], axis=1)),
        "proposals": swap_axes(proposals.boxes),
        "box_logits": np.asarray(inner["box_head"][0]),
        "box_deltas": swap_axes(inner["box_head"][1]),
        "boxes": swap_axes(found.boxes),
        "scores": np.asarray(found.scores),
        "labels": np.asarray(found.labels),
        "masks": np.asarray(found.masks),
        "pasted": paste(found.masks, found.boxes, hw),
    }


def paste(masks, boxes, hw):
    one = functools.partial(paste_masks, hw=hw, torchvision=True)
    return np.asarray(compile_quickly(jax.vmap(one))(masks, boxes))


def make_training(setting, norm):
    """A function of params: the sum of our five losses, and each of them."""
    model = make_model(setting, norm=norm)
    images = np.moveaxis(draw_images(setting), 1, -1)
    instances, classes = draw_truth(setting)
    truth = jax.vmap(lambda i, c: find_boxes(i, c, LESIONS))(instances, classes)
    statistics = load(setting)["batch_stats"]

    def compute(params):
        found, _ = model.apply(
            {"params": params, "batch_stats": statistics},
            images,
            train=True,
            truth=truth,
            instances=instances,
            keys=jax.random.split(jax.random.key(0), len(images)),
            mutable=["batch_stats"],
        )
        losses = compute_detection_losses(found, jnp.ones(len(images), bool))
        return sum(losses.values()), losses

    return compute


def order_as_theirs(setting, gradients):
    """Our gradients by torchvision's names, in its order of axes, flat."""
    state = draw_state_dict(setting)
    # A conversion of places says where each number of ours comes from.
    places = state | {
        name: np.arange(state[name].size, dtype=np.float32).reshape(state[name].shape)
        for name in OURS
    }
    own = convert(places, "mask_rcnn", trace(setting))[0]["params"]
    ordered = {}
    for name, path in OURS.items():
        place, gradient = (
            np.asarray(functools.reduce(lambda tree, key: tree[key], path, tree))
            for tree in (own, gradients)
        )
        flat = np.empty(gradient.size, np.float32)
        flat[place.ravel().astype(int)] = gradient.ravel()
        ordered[f"gradient of {name}"] = flat
    return ordered


def assert_close(found, expected, tolerance):
    """Differences are small beside the largest number."""
    assert found.shape == expected.shape
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def stages():
    return infer(SMALL)


STAGES = (
    *("c2", "c3", "c4", "c5"),
    *("p2", "p3", "p4", "p5", "p6"),
    *("objectness", "rpn_deltas", "proposals"),
    *("box_logits", "box_deltas"),
    *("boxes", "scores", "labels"),
    *("masks", "pasted"),
)


@pytest.mark.parametrize("name", STAGES)
def test_stage_is_that_of_torchvision(name, stages, golden):
    assert_close(thin(name, stages[name]), golden[name], 3e-4)


def test_the_golden_arrays_try_what_may_go_wrong(golden):
    assert set(golden["labels"]) == {1, 2}
    boxes = golden["proposals"].reshape(-1, 4)
    sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    # Regions of two levels of the pyramid.
    assert (sides < 112).sum() > 10 and (sides > 112).sum() > 3
    assert np.ptp(golden["scores"]) > 0.3 and np.ptp(golden["objectness"]) > 3
    assert (golden["pasted"] > 0.5).sum() > 30


def assert_losses_agree(losses, expected, tolerance, norm=""):
    for ours, theirs in LOSSES.items():
        np.testing.assert_allclose(losses[ours], expected[f"{norm}{theirs}"], tolerance)


def test_losses_are_those_of_torchvision(golden):
    # Among the proposals are boxes at the edges that are smaller than a cell.
    _, losses = compile_quickly(make_training(SMALL, "batch"))(load(SMALL)["params"])
    assert_losses_agree(losses, golden, 3e-4, "batch/")


@pytest.mark.slow
def test_gradients_are_those_of_torchvision(golden):
    compute = jax.grad(make_training(SMALL, "frozen"), has_aux=True)
    gradients, losses = compile_quickly(compute)(load(SMALL)["params"])
    assert_losses_agree(losses, golden, 1e-4, "frozen/")
    for name, gradient in order_as_theirs(SMALL, gradients).items():
        expected = golden[f"frozen/{name}"]
        difference = np.linalg.norm(thin(name, gradient) - expected)
        assert difference < 1e-3 * np.linalg.norm(expected), name


@pytest.fixture
def oracle():
    """torchvision, able to run its Mask R-CNN."""
    return require_torchvision()


@pytest.mark.slow
def test_control_names_shapes_and_settings_are_those_of_torchvision(oracle):
    import torch

    with torch.device("meta"):
        network = oracle.models.detection.maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None
        )
    shapes = {key: tuple(x.shape) for key, x in network.state_dict().items()}
    assert shapes == mask_rcnn_layout()
    ours, rpn, heads = MaskRCNN(91, **TORCHVISION), network.rpn, network.roi_heads
    sampler = rpn.fg_bg_sampler
    assert ours.anchor_sizes == rpn.anchor_generator.sizes
    assert {ours.anchor_ratios} == {*rpn.anchor_generator.aspect_ratios}
    assert ours.pre_nms == tuple(rpn._pre_nms_top_n.values())
    assert ours.proposals == tuple(rpn._post_nms_top_n.values())
    assert ours.rpn_nms_iou == rpn.nms_thresh
    assert ours.rpn_foreground_iou == rpn.proposal_matcher.high_threshold
    assert ours.rpn_background_iou == rpn.proposal_matcher.low_threshold
    assert ours.rpn_samples == sampler.batch_size_per_image
    assert ours.rpn_positive == sampler.positive_fraction
    sampler = heads.fg_bg_sampler
    assert ours.roi_iou == heads.proposal_matcher.high_threshold
    assert ours.roi_iou == heads.proposal_matcher.low_threshold
    assert ours.roi_samples == sampler.batch_size_per_image
    assert ours.roi_positive == sampler.positive_fraction
    assert ours.min_score == heads.score_thresh
    assert ours.nms_iou == heads.nms_thresh
    assert ours.detections == heads.detections_per_img


@pytest.mark.slow
def test_full_stages_are_those_of_torchvision(oracle):
    expected = compute_stages(build(FULL), draw_images(FULL))
    found = infer(FULL)
    # Where such deep random layers end, single numbers may be off by a little more.
    for name in STAGES[:-1]:
        difference = np.linalg.norm(found[name] - expected[name])
        assert difference < 1e-3 * np.linalg.norm(expected[name]), name
    # Corners are rounded to pixels: that of two nearly equal ones may be another.
    pasted = paste(expected["masks"], swap_axes(expected["boxes"]), FULL.image_hw)
    assert_close(pasted, expected["pasted"], 1e-3)


@pytest.mark.slow
def test_full_losses_are_those_of_torchvision(oracle):
    setting = dataclasses.replace(FULL, image_hw=SMALL.image_hw)
    network = build(setting, frozen=True)
    expected = compute_losses(network, draw_images(setting), *draw_truth(setting))
    compute = jax.value_and_grad(make_training(setting, "frozen"), has_aux=True)
    (_, losses), gradients = compile_quickly(compute)(load(setting)["params"])
    assert_losses_agree(losses, expected, 1e-3)
    for name, gradient in order_as_theirs(setting, gradients).items():
        difference = np.linalg.norm(gradient - expected[name].ravel())
        assert difference < 1e-2 * np.linalg.norm(expected[name]), name
