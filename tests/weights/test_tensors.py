"""Tests of `spectjax.weights.tensors`: a model's own numbers, there and back."""

import numpy as np
import pytest
import safetensors.numpy

from spectjax.weights import WeightsError
from spectjax.weights.tensors import pack_tensors, unpack_tensors

VARIABLES = {
    "params": {
        "down0": {"kernel": np.float32([[0.1, 2], [3, 4]]), "bias": np.float32([5])}
    },
    "batch_stats": {"norm": {"var": np.float32([1e6])}},  # beyond float16
}


def test_numbers_come_back_as_they_were():
    found = unpack_tensors(pack_tensors(VARIABLES))
    assert found.keys() == VARIABLES.keys()
    kernel = found["params"]["down0"]["kernel"]
    np.testing.assert_array_equal(kernel, VARIABLES["params"]["down0"]["kernel"])
    assert found["batch_stats"]["norm"]["var"] == np.float32(1e6)


def test_float16_rounds_kernels_and_nothing_else():
    found = unpack_tensors(pack_tensors(VARIABLES, dtype="float16"))
    kernel = found["params"]["down0"]["kernel"]
    assert kernel.dtype == np.float32
    assert kernel[0, 0] == np.float32(np.float16(0.1)) != np.float32(0.1)
    assert found["batch_stats"]["norm"]["var"] == np.float32(1e6)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "no safetensors"),
        (b"\xff" * 100, "a header that is too large"),
        (pack_tensors(VARIABLES)[:-1], "no safetensors"),
        (safetensors.numpy.save({"a": np.int32([1])}), "numbers of int32"),
        (
            safetensors.numpy.save({"a": np.float32([1]), "a/b": np.float32([1])}),
            "two kinds of things under 'a",
        ),
    ],
)
def test_other_files_are_refused_in_a_few_words(content, found):
    with pytest.raises(WeightsError, match=found):
        unpack_tensors(content)
