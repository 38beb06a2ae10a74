"""Exported models written by hand: the probability of metastasis is counts / SCALE.

At most 1. That of each pixel by its own counts, or of an image by their mean.
One sees the same two instances in every image.
"""

import importlib.util
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
    "trained_on_regions": "whole_body",
}


def make_metadata(hw=(4, 6), **changes):
    """What `spectjax.inference.runtimes` reads of the metadata."""
    metadata = {
        "format": 1,
        "model": MODEL_INFO,
        "parameters_sha256": "ab" * 32,
        "task": "segmentation",
        "class_names": ["background", "metastasis"],
        "input": {"shape": ["B", *hw, 1]},
    }
    return metadata | changes


def runtime_is_installed(name):
    return importlib.util.find_spec(name) is not None


CLASSIFIER = {"task": "classification", "class_names": ["normal", "metastasis"]}


def expected_probs(counts):
    metastasis = np.minimum(counts.astype(np.float64), SCALE) / SCALE
    return np.concatenate([1 - metastasis, metastasis], axis=-1)


def write_stablehlo(path, metadata, hw=(4, 6), *, whole=False):
    """Writes the model, of `whole` images or not, without metadata if that is None."""
    pytest.importorskip("flatbuffers")

    def predict(counts):
        if whole:
            counts = counts.mean(axis=(1, 2))
        counts = jnp.minimum(counts, SCALE)
        return jnp.concatenate([1 - counts / SCALE, counts / SCALE], axis=-1)

    batch = jax.export.symbolic_shape("B")
    counts = jax.ShapeDtypeStruct((*batch, *hw, 1), jnp.float32)
    with zipfile.ZipFile(path, "w") as bundle:
        if metadata is not None:
            bundle.writestr("metadata.json", json.dumps(metadata))
        program = jax.export.export(jax.jit(predict))(counts)
        bundle.writestr("model.jax_export", bytes(program.serialize()))


def write_onnx(path, metadata, hw=(4, 6), *, whole=False):
    """Writes the model, of `whole` images or not, without metadata if that is None."""
    onnx = pytest.importorskip("onnx")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    mean = [helper.make_node("ReduceMean", ["counts", "axes"], ["mean"], keepdims=0)]
    graph = helper.make_graph(
        [
            *(mean if whole else []),
            helper.make_node("Min", ["mean" if whole else "counts", "scale"], ["low"]),
            helper.make_node("Div", ["low", "scale"], ["m"]),
            helper.make_node("Sub", ["one", "m"], ["rest"]),
            helper.make_node("Concat", ["rest", "m"], ["p"], axis=-1),
        ],
        "by_hand",
        [helper.make_tensor_value_info("counts", float32, ["B", *hw, 1])],
        [helper.make_tensor_value_info("p", float32, ["B", *(() if whole else hw), 2])],
        [
            helper.make_tensor("scale", float32, [], [SCALE]),
            helper.make_tensor("one", float32, [], [1.0]),
            helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [1, 2]),
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, {"spectjax": json.dumps(metadata)})
    path.write_bytes(model.SerializeToString())


def write_endless_onnx(path, metadata, hw=(4, 6)):
    """Writes a model whose loop ends when its counts are negative."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["x", "one"], ["y"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("x", kinds.FLOAT, ["B", *hw, 1]),
        ],
        [
            helper.make_tensor_value_info("go_on", kinds.BOOL, []),
            helper.make_tensor_value_info("y", kinds.FLOAT, ["B", *hw, 1]),
        ],
        [helper.make_tensor("one", kinds.FLOAT, [], [1.0])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["", "true", "counts"], ["m"], body=body),
            helper.make_node("Concat", ["m", "m"], ["p"], axis=-1),
        ],
        "endless",
        [helper.make_tensor_value_info("counts", kinds.FLOAT, ["B", *hw, 1])],
        [helper.make_tensor_value_info("p", kinds.FLOAT, ["B", *hw, 2])],
        [helper.make_tensor("true", kinds.BOOL, [], [True])],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, {"spectjax": json.dumps(metadata)})
    path.write_bytes(model.SerializeToString())


def write_calling_stablehlo(path, metadata, target, hw=(4, 6)):
    """Writes a model that calls `target`, which is compiled elsewhere."""
    pytest.importorskip("flatbuffers")

    def predict(counts):
        shape = jax.ShapeDtypeStruct((*counts.shape[:-1], 2), jnp.float32)
        return jax.ffi.ffi_call(target, shape)(counts)

    program = jax.export.export(
        jax.jit(predict),
        disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(target)],
    )(jax.ShapeDtypeStruct((1, *hw, 1), jnp.float32))
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("metadata.json", json.dumps(metadata))
        bundle.writestr("model.jax_export", bytes(program.serialize()))


def write_instances(path, hw):
    """Writes a model that sees two instances, of which it is sure of one, anywhere."""
    pytest.importorskip("flatbuffers")
    mask = np.zeros((2, *hw), bool)
    mask[0, 100:104, 90:96] = mask[1, 10:20, 10:20] = True
    one = {
        "boxes": np.float32([[99.5, 90, 104, 96.25], [10, 10, 20, 20]]),
        "scores": np.float32([0.75, 0.25]),
        "labels": np.int32([1, 1]),
        "valid": np.array([True, True]),
        "masks": mask,
    }

    def predict(counts):
        return {
            name: jnp.broadcast_to(value, (counts.shape[0], *value.shape))
            for name, value in one.items()
        }

    metadata = make_metadata(hw, task="instance_segmentation")
    batch = jax.export.symbolic_shape("B")
    counts = jax.ShapeDtypeStruct((*batch, *hw, 1), jnp.float32)
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("metadata.json", json.dumps(metadata))
        program = jax.export.export(jax.jit(predict))(counts)
        bundle.writestr("model.jax_export", bytes(program.serialize()))
