"""Tests of `metadata`; how files with bad metadata fail: test_runtimes."""

import hashlib
import json
import pathlib
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from spectjax.imaging.hotspots import Instances
from spectjax.inference.metadata import (
    FORMULAS,
    hash_parameters,
    make_metadata,
    parse_metadata,
)
from spectjax.ops.normalisation import NORMALISATIONS
from tests.support.config_files import UNETS, load


def test_parse_metadata_reads_what_make_metadata_says():
    config = load(UNETS[0], None).to_dict()
    info = {"model": "unet", "spectjax_version": "1", "step": 3}
    metadata = make_metadata(config, info, parameters_sha256="0f")
    found = parse_metadata(pathlib.Path("a.onnx"), json.dumps(metadata))
    assert (found["model"], found["parameters_sha256"]) == (info, "0f")
    assert found["config"]["optimizer"] == config["optimizer"]
    assert found["normalisation"]["name"] == config["data"]["normalisation"]


def test_metadata_name_the_arrays_of_instances():
    config = load(UNETS[0], None)
    config.task = "instance_segmentation"
    config.model.detections = 50
    config.data.train_hw = (160, 160)
    metadata = make_metadata(config.to_dict(), {}, parameters_sha256="0f")
    assert metadata["class_names"] == ["background", "metastasis"]
    # The whole canvas, whatever part of it was trained on.
    assert metadata["input"]["shape"] == ["B", 256, 256, 1]
    assert "output" not in metadata
    assert [(each["name"], each["shape"]) for each in metadata["outputs"]] == [
        ("boxes", ["B", 50, 4]),
        ("scores", ["B", 50]),
        ("labels", ["B", 50]),
        ("valid", ["B", 50]),
        ("masks", ["B", 50, 256, 256]),
    ]
    assert [each["name"] for each in metadata["outputs"]] == list(Instances._fields)
    json.dumps(metadata)


def test_every_normalisation_has_its_formula():
    assert FORMULAS.keys() == NORMALISATIONS.keys()


@pytest.mark.parametrize(
    ("name", "compute"),
    [
        ("min_max", lambda c: (c - c.min()) / (c.max() - c.min())),
        ("square_root", lambda c: np.sqrt(c / c[c > 0].mean())),
    ],
)
def test_formulas_are_what_the_normalisations_do(name, compute):
    counts = np.array([[0.0, 3.0], [5.0, 8.0]])
    found = NORMALISATIONS[name](jnp.asarray(counts, jnp.float32)[None, ..., None])
    np.testing.assert_allclose(found[0, ..., 0], compute(counts), rtol=1e-6)
    words = {"min_max": "(c - min c) / (max c - min c)", "square_root": "sqrt(c / m)"}
    assert FORMULAS[name].startswith(words[name])


def test_hash_parameters_is_that_of_paths_and_little_endian_values():
    kernel, bias = np.float32([[1, 2], [3, 4]]), np.float32([0.5])
    content = b"params/a/bias" + struct.pack("<f", 0.5)
    content += b"params/a/kernel" + struct.pack("<4f", 1, 2, 3, 4)
    expected = hashlib.sha256(content).hexdigest()
    for leaf in ({"kernel": kernel, "bias": bias}, {"bias": bias, "kernel": kernel}):
        variables = {"params": {"a": leaf}}
        assert hash_parameters(variables) == expected
