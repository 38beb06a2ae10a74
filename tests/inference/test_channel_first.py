"""Tests of `spectjax.inference.channel_first`, against ONNX's own reference."""

import numpy as np
import pytest

from spectjax.inference.channel_first import make_channel_first

onnx = pytest.importorskip("onnx")
from onnx import numpy_helper, parser, reference  # noqa: E402 - comes with the extra

SHAPES = {  # of the parameters in the graphs
    "k1": (3, 3, 2, 4),
    "k2": (1, 1, 4, 4),
    "factor": (4,),
    "offset": (1, 1, 1, 4),
    "taps": (4, 12),
    "bias": (1, 1, 1, 3),
}
SIZES = {
    "row": [1, 1, 1, 4],
    "axes": [1, 2],
    "start": [0],
    "two": [2],
    "three": [3],
    "four": [4],
    "six": [6],
    "twelve": [12],
    "eight": [8],
}
BLOCK = """
  a = Transpose <perm=[0, 3, 1, 2]> (x)
  t1 = Transpose <perm=[3, 2, 0, 1]> (k1)
  b = Conv <pads=[1, 1, 1, 1]> (a, t1)
  c = Transpose <perm=[0, 2, 3, 1]> (b)
  root = Sqrt (factor)
  weight = Reshape (root, row)
  d = Mul (c, weight)
  e = Add (d, offset)
  f = Relu (e)
  g = Transpose <perm=[0, 3, 1, 2]> (f)
  t2 = Transpose <perm=[3, 2, 0, 1]> (k2)
  h = Conv (g, t2)
  i = Transpose <perm=[0, 2, 3, 1]> (h)
  j = Mul (i, factor)
  k = Concat <axis=3> (f, j)
"""
GROW = """
  l = Einsum <equation="abcd,de->abce"> (f, taps)
  shape = Shape (x)
  n = Gather (shape, start)
  apart = Concat <axis=0> (n, four, six, two, two, three)
  m = Reshape (l, apart)
  o = Transpose <perm=[0, 1, PERM, 4, 5]> (m)
  whole = Concat <axis=0> (n, eight, twelve, three)
  p = Reshape (o, whole)
  q = Add (p, bias)
"""


def rewrite(lines, shape):
    """The nodes that rewritten lines have, once they give the same numbers."""
    text = "<ir_version: 8, opset_import: ['': 18]> graph (float[2,4,6,2] x) => "
    text += f"(float[{','.join(map(str, shape))}] y) {{{lines}}}"
    model = parser.parse_model(text.replace("'", '"'))
    rng = np.random.default_rng(0)
    values = {k: rng.random(s, np.float32) for k, s in SHAPES.items()}
    values |= {name: np.array(v, np.int64) for name, v in SIZES.items()}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in values.items()
    )
    x = {"x": rng.random((2, 4, 6, 2), np.float32)}
    (before,) = reference.ReferenceEvaluator(model).run(None, x)
    make_channel_first(model.graph)
    onnx.checker.check_model(model, full_check=True)
    (after,) = reference.ReferenceEvaluator(model).run(None, x)
    assert after.shape == shape
    np.testing.assert_allclose(after, before, rtol=1e-5)
    assert len({x.name for x in model.graph.initializer} - {*values}) > 0
    return [node.op_type for node in model.graph.node]


def test_only_the_ends_of_a_network_are_transposed():
    nodes = rewrite(BLOCK + "y = Softmax <axis=-1> (k)", (2, 4, 6, 8))
    assert nodes == (
        "Transpose Conv Mul Add Relu Conv Mul Concat Softmax Transpose".split()
    )


def test_what_is_not_known_sees_the_axes_that_it_means():
    lines = BLOCK + "m = ReduceMean <keepdims=0> (k, axes)\n y = Exp (m)"
    nodes = rewrite(lines, (2, 8))
    assert nodes[-4:] == ["Concat", "Transpose", "ReduceMean", "Exp"]


def test_what_is_used_both_ways_is_there_both_ways():
    nodes = rewrite(BLOCK + "r = Exp (f)\n y = Concat <axis=3> (r, k)", (2, 4, 6, 12))
    assert nodes.count("Transpose") == 3


def test_a_result_may_be_channel_first():
    nodes = rewrite(BLOCK + "y = Transpose <perm=[0, 3, 1, 2]> (k)", (2, 8, 4, 6))
    assert nodes[-1] == "Transpose"


def test_an_up_convolution_becomes_one_operation():
    nodes = rewrite(
        BLOCK + GROW.replace("PERM", "3, 2") + "y = Relu (q)", (2, 8, 12, 3)
    )
    assert nodes[-4:] == ["ConvTranspose", "Add", "Relu", "Transpose"]
    assert nodes.count("Transpose") == 2 and "Reshape" not in nodes


def test_other_blocks_are_no_up_convolution():
    nodes = rewrite(
        BLOCK + GROW.replace("PERM", "2, 3") + "y = Relu (q)", (2, 8, 12, 3)
    )
    assert "ConvTranspose" not in nodes and nodes.count("Reshape") == 2
