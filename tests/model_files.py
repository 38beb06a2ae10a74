"""Exported models written by hand: of each pixel, the probability is counts / SCALE."""

import json
import zipfile

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

SCALE = 64.0
MODEL_INFO = {
    "model": "by_hand",
    "data": "none",
    "held_out_fold": 3,
    "step": 7,
    "spectjax_version": "0.0.7",
    "trained_on_synthetic_data": True,
}


def make_metadata(hw=(4, 6), **changes):
    """What `spectjax.runtimes` reads of the metadata."""
    metadata = {
        "format": 1,
        "model": MODEL_INFO,
        "parameters_sha256": "ab" * 32,
        "class_names": ["background", "metastasis"],
        "input": {"shape": ["B", *hw, 1]},
    }
    return metadata | changes


def expected_probs(counts):
    metastasis = counts.astype(np.float64) / SCALE
    return np.concatenate([1 - metastasis, metastasis], axis=-1)


def write_stablehlo(path, metadata, hw=(4, 6)):
    """Writes the model as a zip file; without metadata if that is None."""
    pytest.importorskip("flatbuffers")

    def predict(counts):
        return jnp.concatenate([1 - counts / SCALE, counts / SCALE], axis=-1)

    batch = jax.export.symbolic_shape("B")
    counts = jax.ShapeDtypeStruct((*batch, *hw, 1), jnp.float32)
    with zipfile.ZipFile(path, "w") as bundle:
        if metadata is not None:
            bundle.writestr("metadata.json", json.dumps(metadata))
        program = jax.export.export(jax.jit(predict))(counts)
        bundle.writestr("model.jax_export", bytes(program.serialize()))


def write_onnx(path, metadata, hw=(4, 6)):
    """Writes the model as an ONNX file; without metadata if that is None."""
    onnx = pytest.importorskip("onnx")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Div", ["counts", "scale"], ["metastasis"]),
            helper.make_node("Sub", ["one", "metastasis"], ["background"]),
            helper.make_node("Concat", ["background", "metastasis"], ["p"], axis=3),
        ],
        "by_hand",
        [helper.make_tensor_value_info("counts", float32, ["B", *hw, 1])],
        [helper.make_tensor_value_info("p", float32, ["B", *hw, 2])],
        [
            helper.make_tensor("scale", float32, [], [SCALE]),
            helper.make_tensor("one", float32, [], [1.0]),
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, {"spectjax": json.dumps(metadata)})
    path.write_bytes(model.SerializeToString())
