"""Tests of the programs that a GPU would get, lowered without one."""

import re

import jax
import jax.numpy as jnp
import pytest

from spectjax.models import create_model
from spectjax.ops import backend
from spectjax.ops.convolution import convolve
from spectjax.ops.normalisation import normalise_by_root
from spectjax.tasks.hotspots.instance_segmentation import InstanceSegmentation

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


@pytest.fixture
def on_gpu(monkeypatch):
    """What is traced takes the formulation for GPUs, as on a machine that has one."""
    backend._choose.cache_clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    yield
    backend._choose.cache_clear()


def lower_for_cuda(function, *shapes):
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
def test_no_product_of_every_other_pixel_is_lowered_for_a_gpu(name, on_gpu):
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


def test_a_step_of_mask_rcnn_has_no_loop_whose_end_the_host_must_ask_for(on_gpu):
    model = create_model("mask_rcnn", {"num_classes": 2, **FIELDS["mask_rcnn_att"]})
    task = InstanceSegmentation(model, normalise_by_root)
    variables = jax.eval_shape(lambda: task.init(jax.random.key(0), (16, 16)))
    batch = {
        "images": jnp.zeros((2, 16, 16, 1), jnp.uint16),
        "masks": jnp.zeros((2, 16, 16), jnp.uint8),
        "instances": jnp.zeros((2, 16, 16), jnp.uint8),
    }
    step = jax.value_and_grad(task.compute_loss, has_aux=True)
    program = jax.make_jaxpr(step)(
        variables["params"], variables["batch_stats"], batch, jax.random.key(0)
    )
    # Suppression takes a known number of turns.
    assert "scan[" in str(program)
    assert "while[" not in str(program)
    assert "cond[" not in str(program)


def test_a_product_of_every_other_pixel_is_found(on_gpu):
    x = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 4), jnp.float32)
    text = lower_for_cuda(lambda x, kernel: x[:, ::2, ::2] @ kernel, x, kernel)
    assert len(find_strided_products(text)) == 1


def test_a_convolution_of_every_pixel_by_one_stays_a_product(on_gpu):
    x = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    kernel = jax.ShapeDtypeStruct((1, 1, 3, 4), jnp.float32)
    assert "dot_general" in lower_for_cuda(convolve, x, kernel)
