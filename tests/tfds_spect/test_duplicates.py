"""Images that two patients share: found however they were handled, and nothing else."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tfds_spect.duplicates import Duplicate, find_near_duplicates

SHAPE = (256, 256)
N_PATIENTS = 24


@dataclasses.dataclass(frozen=True)
class Picture:
    """What `find_near_duplicates` asks of an example."""

    example_id: str
    patient: str
    counts: np.ndarray


def draw_acquisition(seed, mean_counts=12.0):
    """Poisson counts of a body with a spine and ribs, no two of one size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:200, :180] - np.array([100, 90])[:, None, None]
    half_height, half_width = rng.uniform(70, 90), rng.uniform(55, 70)
    body = (y / half_height) ** 2 + (x / half_width) ** 2 < 1
    slope = np.where(x < 0, rng.uniform(-0.4, 0.0), rng.uniform(0.1, 0.5))
    ribs = np.cos((y + slope * x) * 2 * np.pi / 13) > 0.3
    uptake = 1 + 0.8 * ribs + 2.5 * (np.abs(x) < 10)
    for _ in range(3):
        row, column = rng.uniform(-50, 50, 2)
        uptake += 8 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 30)
    expected = mean_counts * ndimage.gaussian_filter(body * uptake, 2)
    return rng.poisson(expected * body).astype(np.uint16)


def on_canvas(crop, row=28, column=38):
    canvas = np.zeros(SHAPE, crop.dtype)
    canvas[row : row + crop.shape[0], column : column + crop.shape[1]] = crop
    return canvas


def recrop(acquisition):
    """Two edges 10 pixels further in, so the centre moves as well."""
    y, x = (np.flatnonzero(acquisition.any(axis=axis)) for axis in (1, 0))
    cut = acquisition[y[0] + 10 : y[-1] + 1, x[0] : x[-1] - 9]
    return on_canvas(cut, (256 - cut.shape[0]) // 2, (256 - cut.shape[1]) // 2)


def to_grey(counts):
    return np.rint(counts * (255 / counts.max())).astype(np.uint8)


def compress(counts, quality):
    jpeg = io.BytesIO()
    Image.fromarray(to_grey(counts)).save(jpeg, "JPEG", quality=quality)
    return np.asarray(Image.open(jpeg)).astype(np.uint16)


def turn(counts, degrees):
    turned = ndimage.rotate(counts.astype(float), degrees, reshape=False, order=1)
    return np.rint(turned.clip(0)).astype(np.uint16)


def thin(counts):
    """Every count is kept with probability 1/2: an acquisition of half the time."""
    return np.random.default_rng(5).binomial(counts.astype(int), 0.5).astype(np.uint16)


@pytest.fixture(scope="module")
def acquisitions():
    return [draw_acquisition(seed) for seed in range(N_PATIENTS)]


@pytest.fixture(scope="module")
def others(acquisitions):
    return [
        Picture(f"image{i}", f"patient{i}", on_canvas(acquisition))
        for i, acquisition in enumerate(acquisitions)
    ]


HANDLED = {
    "another crop": recrop,
    "moved on the canvas": lambda a: on_canvas(a, 18, 48),
    "mirrored": lambda a: on_canvas(a[:, ::-1], 35, 30),
    "another crop, mirrored": lambda a: recrop(a)[:, ::-1],
    "half of the counts": lambda a: on_canvas(thin(a)),
    "8 bits": lambda a: on_canvas(to_grey(a)),
    "JPEG": lambda a: compress(on_canvas(a), 75),
    "turned to the left": lambda a: turn(on_canvas(a), 2),
    "turned to the right": lambda a: turn(on_canvas(a), -1.4),
    "0 to 1": lambda a: on_canvas((a / a.max()).astype(np.float32)),
}


def test_different_patients_are_not_alike(others):
    assert find_near_duplicates(others) == []


@pytest.mark.parametrize("handled", HANDLED.values(), ids=HANDLED)
def test_what_was_made_of_one_acquisition_is_found(others, acquisitions, handled):
    for number in (0, 7, 15):
        twin = Picture("twin", "stranger", handled(acquisitions[number]))
        (pair,) = find_near_duplicates([*others, twin])
        assert (pair.first, pair.second) == (f"image{number}", "twin")
        assert 0.3 < pair.similarity <= 1


def test_few_counts_are_enough():
    pictures = [
        Picture(f"image{i}", f"patient{i}", on_canvas(draw_acquisition(i, 2.0)))
        for i in range(6)
    ]
    twin = Picture("twin", "stranger", recrop(draw_acquisition(2, 2.0)))
    (pair,) = find_near_duplicates([twin, *pictures])
    assert (pair.first, pair.second) == ("twin", "image2")


def test_equal_counts_are_told_from_nearly_equal_ones(others, acquisitions):
    equal = Picture("equal", "a", on_canvas(acquisitions[3]))
    mirrored = Picture("mirrored", "b", on_canvas(acquisitions[3][:, ::-1], 30, 40))
    changed = on_canvas(acquisitions[3]).copy()
    changed[128, 128] += 1
    pairs = find_near_duplicates(
        [*others, equal, mirrored, Picture("changed", "c", changed)]
    )
    assert pairs[:2] == [
        Duplicate("image3", "equal", 1.0, "same counts"),
        Duplicate("image3", "mirrored", 1.0, "same counts"),
    ]
    (near,) = pairs[2:]
    assert (near.first, near.second, near.kind) == (
        "image3",
        "changed",
        "nearly the same",
    )
    assert 0.99 < near.similarity < 1


def test_images_of_one_patient_are_not_compared(others, acquisitions):
    twins = [
        Picture("same", "patient4", on_canvas(acquisitions[4])),
        Picture("moved", "patient4", recrop(acquisitions[4])),
    ]
    assert find_near_duplicates([*others, *twins]) == []


def test_images_far_apart_in_a_long_list_are_compared(others, acquisitions):
    pictures = [dataclasses.replace(each) for each in others]
    rng = np.random.default_rng(1)
    filling = [
        Picture(f"noise{i}", f"nobody{i}", on_canvas(rng.poisson(9, (60, 50))))
        for i in range(110)
    ]
    twins = [
        Picture(f"twin{i}", "stranger", on_canvas(thin(acquisitions[i])))
        for i in (0, 23)
    ]
    found = find_near_duplicates([*pictures, *filling, *twins])
    assert [(p.first, p.second) for p in found] == [
        ("image0", "twin0"),
        ("image23", "twin23"),
    ]


def test_another_acquisition_of_the_same_body_goes_unnoticed():
    rng = np.random.default_rng(0)
    expected = ndimage.gaussian_filter(draw_acquisition(1).astype(float), 6)
    first, second = (on_canvas(rng.poisson(expected)) for _ in range(2))
    assert (
        find_near_duplicates([Picture("a", "A", first), Picture("b", "B", second)])
        == []
    )


def test_images_without_detail_are_like_none_but_equal_ones():
    flat = np.full((90, 70), 7, np.uint16)
    blank = np.zeros(SHAPE, np.uint16)
    dot = blank.copy()
    dot[9, 9] = 3
    pictures = [
        Picture(str(i), str(i), counts)
        for i, counts in enumerate([blank, dot, on_canvas(flat), blank, flat])
    ]
    assert find_near_duplicates(pictures) == [
        Duplicate("0", "3", 1.0, "same counts"),
        Duplicate("2", "4", 1.0, "same counts"),
    ]


def test_nothing_is_compared_with_nothing():
    assert find_near_duplicates([]) == []


def test_an_image_whose_pixels_were_dropped_is_refused():
    with pytest.raises(ValueError, match=r"gone: expected counts.*no pixels"):
        find_near_duplicates([Picture("gone", "a", np.zeros((0, 0), np.uint16))])
