"""Tests of `spectjax.pages.packing`: nothing is lost, whatever counts are."""

import numpy as np
import pytest

from spectjax.pages.packing import pack_counts
from tests.support.page_files import unpack

POISSON = np.random.default_rng(0).poisson(3, (64, 33)).astype(np.float32)
CASES = {
    "counts": (POISSON, 1),
    "rescaled": (POISSON * np.float32(0.37), 1),
    "large": (POISSON * 1e6 + 2.0**24, 1),
    "one value": (np.full((2, 3), 7, np.float32), 1),
    "300 values": (np.arange(300, dtype=np.float32).reshape(20, 15) / 3, 2),
    "70000 values": (np.arange(70_000, dtype=np.float32).reshape(700, 100) / 7, 3),
}


@pytest.mark.parametrize("name", CASES)
def test_counts_come_back_to_the_bit(name):
    counts, planes = CASES[name]
    counts = counts.astype(np.float32)
    packed = pack_counts(counts)
    assert packed["planes"] == planes
    found = unpack(packed)
    assert found.shape == counts.shape
    np.testing.assert_array_equal(found.view(np.uint32), counts.view(np.uint32))


def test_rescaled_counts_are_no_larger_than_counts():
    sizes = [
        len(pack_counts(CASES[name][0])["gzip"]) for name in ("counts", "rescaled")
    ]
    assert sizes[1] < 1.05 * sizes[0]


def test_a_view_of_two_million_counts_takes_less_than_200_kb():
    view = np.random.default_rng(0).poisson(8, (1024, 256)).astype(np.float32)
    assert len(pack_counts(view)["gzip"]) < 200_000


def test_the_same_counts_give_the_same_text():
    assert pack_counts(POISSON) == pack_counts(POISSON.copy())
