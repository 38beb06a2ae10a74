"""Tests of `benchmarks.least_bytes`, against sums by hand."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.least_bytes import _count_kernels, count_least_bytes
from spectjax.models import create_model


def test_one_resolution_is_one_block_and_a_head():
    # Maps of 2 images x 16 pixels x 4 features x 2 bytes.
    unit = 2 * 16 * 4 * 2
    found = count_least_bytes((4,), batch=2, hw=(4, 4), num_classes=2)
    # conv1 written and its kernel's gradient; conv2 six; the projection's gradient.
    assert found["convolutions"] == (2 + 6 + 1) * unit
    assert found["normalisations"] == (1 + 2 + 2 + 3 + 1 + 2 + 4 + 3) * unit
    assert found["poolings"] == found["joined maps"] == 0
    # The map twice; logits, their gradient and what its kernel's gradient reads.
    assert found["head"] == 2 * unit + 3 * 2 * 16 * 2 * 4
    # Numbers: 3x3x1x4, 3x3x4x4, 1x4, 4x2; of each 16 bytes and five halves of four.
    assert found["parameters"] == (36 + 144 + 4 + 8) * (16 + 10)


def test_a_second_resolution_adds_its_block_and_a_decoder_at_the_first():
    unit = 16 * 4 * 2  # of the first; of the second, half
    one, two = (count_least_bytes(f, batch=1, hw=(4, 4)) for f in ((4,), (4, 8)))
    added = {name: (two[name] - one[name]) / unit for name in one}
    # Decoder: conv1 three times two and one, so the projection; conv2; growing.
    decoder = 9 + 9 + 6 + 3 * 1.5
    # Coarser block: inputs of half a map.
    assert added["convolutions"] == decoder + (4.5 + 4.5 + 6) / 2
    assert added["normalisations"] == (8 + 10) + (8 + 11) / 2
    assert added["joined maps"] == 7


@pytest.mark.parametrize("features", [(4,), (4, 6, 8)])
def test_kernels_are_those_of_the_network(features):
    model = create_model("unet_res", {"num_classes": 2, "features": features})
    shapes = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), jnp.ones((1, 8, 8, 1))
    )
    kernels = [x.size for x in jax.tree.leaves(shapes["params"]) if x.ndim > 1]
    assert _count_kernels(features, 2) == sum(kernels)
