"""Images that stand in a data set twice, under two patients.

One acquisition that is filed under two names would stand on both sides of a split, and
no identifier tells. Its noise does: the Poisson noise of an acquisition is a
fingerprint that survives mirroring, another crop, JPEG and 8-bit grey values.

Every image becomes a short descriptor of its fine detail: square root of the counts
(which gives Poisson noise the same variance everywhere), minus its own surroundings,
then the amplitude spectrum between 4 and 21 pixels of wavelength. Amplitudes do not
change when an image is shifted. Each is divided by the mean of its neighbours in the
spectrum, so that what all bodies share, the slow fall of a spectrum, drops out. A
mirrored or turned image has the mirrored or turned spectrum, so the descriptor is taken
ten times from one spectrum: as it is and mirrored, at five angles. The similarity of
two images is the largest of the ten correlation coefficients.

N is the number of images, D = 1392 the length of a descriptor, V = 10 its variants.
"""

import functools
import hashlib
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import fft, ndimage

from spectjax.imaging.geometry import cut_centre

# Of the 718 800 pairs that 1200 views of 600 simulated patients make, whose skeleton is
# one and the same, none comes above 0.18 (mean 0.045, standard deviation 0.019). JPEG
# of quality 50 comes to 0.29 in the worst of 100 images and to 0.7 in the median, a
# random half of the counts to 0.39 and 0.5, two degrees to 0.62 and 0.7, a crop that is
# 10 pixels off to 0.68 and 0.75. A real scan without loss behaves alike.
THRESHOLD = 0.25
_DEGREES = (-2, -1, 0, 1, 2)
_UNTURNED = _DEGREES.index(0)
_SIZE = 256  # of the transform; frequencies below are in cycles per so many pixels
_BAND = (12, 64)
_NEIGHBOURS = 9
_SURROUNDINGS_PX = 3.0
_EDGE_PX = 4
_OUTLIER = 3.0  # a lesion's edge is clipped to so many standard deviations of the noise
_BLOCK = 64


@dataclass(frozen=True)
class Duplicate:
    """Two images of different patients that come from one acquisition.

    Attributes:
        first: example id.
        second: example id of an image that comes later in the data set.
        similarity: correlation of their fine detail, from `THRESHOLD` to 1.
        kind: "same counts" if they are equal pixel by pixel, as they are or mirrored,
            wherever they lie on their canvas.
    """

    first: str
    second: str
    similarity: float
    kind: Literal["same counts", "nearly the same"]


def find_near_duplicates(
    examples: Sequence[Any],
    read: Callable[[Any], np.ndarray] = operator.attrgetter("counts"),
) -> list[Duplicate]:
    """Finds images that different patients share.

    Found are equal counts and what was made of one acquisition by another crop (about
    10 pixels off), mirroring, a turn by up to 2 degrees, lossy compression, rescaling
    to 8 bits, or a random half of its counts. Of several equal images all are paired
    with the first one, and only the first is compared with the others.

    Not found are two acquisitions of one patient under two names, on two days or one
    after the other: their noise is not the same. Nor is an image found again from which
    the noise is gone: smoothed over 2 pixels and then compressed, or compressed by more
    than a hundred. Images of one patient are not compared. An image without detail,
    such as an empty one, is like no other but an equal one.

    Args:
        examples: a `ThoraxExample` each, or what has its `example_id` and `patient`.
        read: returns the pixels of one, (H, W), counts or in proportion to counts; of
            a whole body the middle 256 rows are compared. It is called once for each;
            memory holds 6 kB.

    Returns:
        Pairs in the order of `examples`, by the later image.

    Raises:
        ValueError: if an image has no pixels.
    """
    patients = np.array([example.patient for example in examples])
    ids = [example.example_id for example in examples]
    first_with: dict[bytes, int] = {}
    found: list[tuple[int, Duplicate]] = []
    described: list[int] = []
    known = np.zeros((len(ids), len(_find_places()[0][0])), np.float32)
    for start in range(0, len(ids), _BLOCK):
        fresh, block = [], []
        for index in range(start, min(start + _BLOCK, len(ids))):
            counts = _cut_to_content(ids[index], read(examples[index]))
            same = first_with.setdefault(_hash_counts(counts), index)
            if same == index:
                fresh.append(index)
                block.append(_describe_detail(counts))
            elif patients[same] != patients[index]:
                pair = Duplicate(ids[same], ids[index], 1.0, "same counts")
                found.append((index, pair))
        if not fresh:
            continue
        n_known, n_all = len(described), len(described) + len(fresh)
        described += fresh
        known[n_known:n_all] = [variants[_UNTURNED] for variants in block]
        similarity = (np.stack(block) @ known[:n_all].T).max(axis=1)
        similarity *= patients[fresh][:, None] != patients[described][None]
        similarity = np.tril(similarity, n_known - 1)  # each with earlier ones only
        for row, column in np.argwhere(similarity >= THRESHOLD):
            first, second = described[column], fresh[row]
            value = min(float(similarity[row, column]), 1.0)
            pair = Duplicate(ids[first], ids[second], value, "nearly the same")
            found.append((second, pair))
    return [pair for _, pair in sorted(found, key=lambda each: each[0])]


def _cut_to_content(example_id: str, counts: np.ndarray) -> np.ndarray:
    """Returns an image without the empty rows and columns around it, float32.

    Raises:
        ValueError: if there is not one pixel.
    """
    if counts.size == 0:
        raise ValueError(f"{example_id}: expected counts, found an image of no pixels.")
    rows, columns = (np.flatnonzero(counts.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return np.zeros((1, 1), np.float32)
    content = counts[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    hw = min(content.shape[0], _SIZE), min(content.shape[1], _SIZE)
    return cut_centre(content, hw).astype(np.float32)


def _hash_counts(counts: np.ndarray) -> bytes:
    """Returns a hash that an image and its mirror image share."""
    views = (np.ascontiguousarray(view).tobytes() for view in (counts, counts[:, ::-1]))
    return hashlib.sha256(repr(counts.shape).encode() + min(views)).digest()


def _describe_detail(counts: np.ndarray) -> np.ndarray:
    """Returns the descriptor of an image in all its variants, float32, (V, D).

    Each has mean 0 and length 1, so a product of two is their correlation; all are 0
    if there is no detail.
    """
    amplitude = np.abs(fft.rfft2(_keep_detail(counts), s=(_SIZE, _SIZE)))
    if not amplitude.any():
        return np.zeros((len(_find_places()), len(_find_places()[0][0])), np.float32)
    amplitude /= ndimage.uniform_filter(amplitude, _NEIGHBOURS, mode="wrap")
    variants = np.stack([amplitude[place] for place in _find_places()])
    variants -= variants.mean(axis=1, keepdims=True)
    return variants / np.linalg.norm(variants, axis=1, keepdims=True)


def _keep_detail(counts: np.ndarray) -> np.ndarray:
    """Returns what sets pixels apart from those around them, in noise units, (H, W).

    It fades to 0 towards the edge of the body, whose outline another crop or a
    threshold would change.
    """
    body = ndimage.uniform_filter((counts > 0).astype(np.float32), 7, mode="constant")
    body = (body > 0.1).astype(np.float32)
    core = _smooth(body, _EDGE_PX / 2) > 0.98
    if not core.any():
        return np.zeros_like(counts)
    # No 3/8 added, as Anscombe has it: grey values are counts times an unknown factor.
    roots = np.sqrt(counts)
    around = _smooth(roots * body, _SURROUNDINGS_PX)
    around /= np.maximum(_smooth(body, _SURROUNDINGS_PX), 0.05)
    detail = roots - around
    deviation = 1.4826 * np.median(np.abs(detail[core]))
    if deviation == 0:
        return np.zeros_like(counts)
    detail = np.clip(detail / deviation, -_OUTLIER, _OUTLIER)
    return detail * core * _smooth(core.astype(np.float32), _EDGE_PX / 2)


def _smooth(image: np.ndarray, sigma_px: float) -> np.ndarray:
    return ndimage.gaussian_filter(image, sigma_px, truncate=3, mode="constant")


@functools.cache
def _find_places() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Returns where in a half spectrum each variant of the descriptor is read.

    Every other frequency of the band, for neighbours are alike; none near the axes,
    where the lines of a detector show in every image.

    Returns:
        Indices (rows, columns), (D,) each, for each of V variants.
    """
    low, high = _BAND
    steps = np.arange(-high, high + 1, 2)
    y, x = np.meshgrid(steps, steps[steps > 2], indexing="ij")
    radius = np.hypot(y, x)
    inside = (radius >= low) & (radius <= high) & (np.abs(y) > 2)
    y, x = y[inside], x[inside]
    places = []
    for sign in (1, -1):
        for angle in np.radians(_DEGREES):
            turned_y = np.rint(y * np.cos(angle) - x * np.sin(angle)).astype(int)
            turned_x = np.rint(y * np.sin(angle) + x * np.cos(angle)).astype(int)
            turned_x *= sign
            # The other half of a real image's spectrum is the same, point by point.
            half = np.where(turned_x < 0, -1, 1)
            places.append((half * turned_y % _SIZE, half * turned_x))
    return tuple(places)
