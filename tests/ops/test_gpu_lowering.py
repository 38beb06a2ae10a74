"""Tests of the programs that a GPU would get, lowered without one."""

import re

import jax
import jax.numpy as jnp
import pytest

from spectjax.models import create_model
from spectjax.ops import batch_norm
from spectjax.ops.backend import find_platform
from spectjax.ops.convolution import compiler_options, convolve
from spectjax.ops.normalisation import normalise_by_root
from spectjax.ops.roi_align import roi_align
from spectjax.tasks.hotspots.instance_segmentation import InstanceSegmentation
from spectjax.training.step import MAX_STEPS_PER_DISPATCH, choose_steps_per_dispatch

FIELDS = {
    "specs_r34": {"stage_sizes": (1, 1), "features": (2, 4)},
    "mask_rcnn_att": {
        "stage_sizes": (1, 1),
        "features": (2, 4),
        "pyramid_features": 4,
        "box_features": 4,
        "mask_features": 4,
        "anchor_sizes": ((4,), (8,)),
        "pre_nms": (8, 8),
        "proposals": (4, 4),
        "detections": 2,
    },
}
# %3 = stablehlo.slice %2 [0:1, 0:8:2, 0:8:2, 0:4] : ...
_STRIDED = re.compile(r"(%\w+) = stablehlo\.slice %\w+ \[[^\]]*:\d+:\d+[^\]]*\]")
_PRODUCT = re.compile(r"stablehlo\.dot_general (%\w+), (%\w+)")
# Of one pixel: 1x1 and without margin.
_CONVOLUTION = re.compile(r"{stride = \[2, 2\], pad = \[\[0, 0\], \[0, 0\]\]")


def lower_for_cuda(function, *shapes):
    """The program that a GPU gets; this machine needs none."""
    with jax.default_device("gpu"):
        traced = jax.jit(function).trace(*shapes)
    return traced.lower(lowering_platforms=("cuda",)).as_text()


def find_strided_products(text):
    """Products of every other pixel, which make XLA abort (openxla/xla#47381)."""
    found = []
    for function in text.split("func.func"):  # names are a function's own
        strided = set(_STRIDED.findall(function))
        found += [p for p in _PRODUCT.findall(function) if strided & set(p)]
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_no_product_of_every_other_pixel_is_lowered_for_a_gpu(name):
    model = create_model(name, {"num_classes": 2, **FIELDS[name]})
    images = jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32)

    def predict(variables, images):
        return model.apply(variables, images, train=False)

    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )
    text = lower_for_cuda(predict, variables, images)
    assert _CONVOLUTION.search(text)
    assert "custom_call" not in text  # none of the host's libraries leaks
    assert find_strided_products(text) == []


def test_a_step_of_mask_rcnn_has_no_loop_whose_end_the_host_must_ask_for():
    model = create_model("mask_rcnn", {"num_classes": 2, **FIELDS["mask_rcnn_att"]})
    task = InstanceSegmentation(model, normalise_by_root)
    variables = jax.eval_shape(lambda: task.init(jax.random.key(0), (16, 16)))
    batch = {
        "images": jax.ShapeDtypeStruct((2, 16, 16, 1), jnp.uint16),
        "masks": jax.ShapeDtypeStruct((2, 16, 16), jnp.uint8),
        "instances": jax.ShapeDtypeStruct((2, 16, 16), jnp.uint8),
    }
    step = jax.value_and_grad(task.compute_loss, has_aux=True)
    key = jax.eval_shape(lambda: jax.random.key(0))
    with jax.default_device("gpu"):
        program = jax.make_jaxpr(step)(
            variables["params"], variables["batch_stats"], batch, key
        )
    # Suppression takes a known number of turns.
    assert "scan[" in str(program)
    assert "while[" not in str(program)
    assert "cond[" not in str(program)


def test_a_product_of_every_other_pixel_is_found():
    x = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 4), jnp.float32)
    text = lower_for_cuda(lambda x, kernel: x[:, ::2, ::2] @ kernel, x, kernel)
    assert len(find_strided_products(text)) == 1


def test_a_convolution_of_every_pixel_by_one_stays_a_product():
    x = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((1, 1, 3, 4), jnp.float32)
    assert "dot_general" in lower_for_cuda(convolve, x, kernel)


def test_the_platform_is_that_of_the_default_device():
    """A function that was traced for the host is traced anew: nothing leaks."""
    assert find_platform() == "cpu"
    jitted = jax.jit(convolve)
    x, kernel = (
        jax.ShapeDtypeStruct(s, "float32") for s in ((1, 8, 8, 3), (3, 3, 3, 4))
    )
    jitted.trace(x, kernel)
    with jax.default_device("gpu"):
        assert find_platform() == "gpu"
        assert "ffi_call" not in str(jitted.trace(x, kernel).jaxpr)
        assert compiler_options() == {}
    with jax.default_device(jax.devices()[0]):
        assert find_platform() == "cpu"


def trace_for(platform, function, *shapes):
    with jax.default_device(platform):
        return str(jax.make_jaxpr(function)(*shapes))


def test_sums_are_products_on_cpus_alone():
    # Of a type that oneDNN does not take.
    x = jax.ShapeDtypeStruct((1, 4, 4, 2), jnp.float16)
    assert "dot_general" in trace_for("cpu", batch_norm._sum, x)
    assert "dot_general" not in trace_for("gpu", batch_norm._sum, x)


def test_boxes_are_taken_one_by_one_on_cpus_alone():
    features = jax.ShapeDtypeStruct((4, 4, 2), jnp.float32)
    boxes = jax.ShapeDtypeStruct((3, 4), jnp.float32)
    levels = jax.ShapeDtypeStruct((3,), jnp.int32)

    def pool(features, boxes, levels):
        return roi_align([features], boxes, levels, (4,), 2)

    assert "scan" in trace_for("cpu", pool, features, boxes, levels)
    assert "scan" not in trace_for("gpu", pool, features, boxes, levels)


def test_on_gpus_many_steps_are_taken_at_once():
    with jax.default_device("gpu"):
        assert choose_steps_per_dispatch() == MAX_STEPS_PER_DISPATCH
