"""Hotspots: regions of a map of probabilities, instances, and masks as run lengths.

Height, width and classes are H, W and K, class 0 is background; of B images each has at
most D instances. Needs neither jax nor what trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts load when they are asked for: not before --help

from spectjax.system.messages import UserError

CLASS_NAMES = ("background", "metastasis")


class AnswerError(UserError):
    """What a model gave is no answer: of a wrong shape, or not finite."""


def check_finite(what: str, *arrays: np.ndarray) -> None:
    """Raises AnswerError if a number in what a model gave is not finite."""
    if not all(np.isfinite(each).all() for each in arrays):
        raise AnswerError(
            f"The model gave {what} that are not finite. Its parameters have probably "
            "diverged: train again with a smaller learning rate."
        )


@dataclass(frozen=True)
class Hotspot:
    """One region that a model marked.

    Attributes:
        category: name of its class.
        score: mean probability of that class over the region's pixels, in (0, 1].
        max_probability: largest probability of that class in the region, in (0, 1].
        mask: its pixels, bool, (H, W).
    """

    category: str
    score: float
    max_probability: float
    mask: np.ndarray

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The tightest (y0, x0, y1, x1) around the mask, pixels, half-open."""
        return bound_mask(self.mask)


def classify_pixels(probs: np.ndarray) -> np.ndarray:
    """Returns the most probable class of every pixel, uint8, background in a tie.

    With two classes a pixel is hotspot when its probability exceeds 0.5. Scores and
    products both stand on this one rule.

    Args:
        probs: class probabilities, float, (..., K).

    Raises:
        AnswerError: if a probability is not finite (argmax would pick that class).
    """
    check_finite("probabilities", probs)
    return probs.argmax(axis=-1).astype(np.uint8)


def find_hotspots(
    probs: np.ndarray, valid: np.ndarray, class_names: Sequence[str] = CLASS_NAMES
) -> list[Hotspot]:
    """Returns the 8-connected regions of the most probable class, surest first.

    No region is too small: a single pixel is a hotspot ([P1] gives no minimum size).

    Args:
        probs: class probabilities, float32, (H, W, K).
        valid: pixels that show the patient, bool, (H, W). What a model marks on the
            padding around a crop belongs to no pixel of the scan and is left out.
        class_names: names of the K classes, background first.

    Returns:
        Hotspots by falling score; equals by falling area, then by position.

    Raises:
        AnswerError: if the shapes do not match or a probability is not finite.
    """
    if probs.shape[:2] != valid.shape or probs.shape[2:] != (len(class_names),):
        raise AnswerError(
            f"Expected probs {(*valid.shape, len(class_names))} for valid pixels "
            f"{valid.shape} and classes {', '.join(class_names)}, got {probs.shape}."
        )
    classes = np.where(valid, classify_pixels(probs), 0)
    hotspots = []
    for index, category in enumerate(class_names[1:], start=1):
        regions, n_regions = number_regions(classes == index)
        for region in range(1, n_regions + 1):
            mask = regions == region
            inside = probs[mask, index].astype(np.float64)
            hotspots.append(
                Hotspot(category, float(inside.mean()), float(inside.max()), mask)
            )
    return sorted(hotspots, key=lambda h: (-h.score, -int(h.mask.sum()), h.box))


def number_regions(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers the 8-connected regions of a mask: what counts as one, everywhere.

    Args:
        mask: bool, (..., H, W); pixels of two planes are no neighbours.

    Returns:
        The number of each pixel's region, from 1, 0 outside, int32, (..., H, W); and
        how many there are.
    """
    neighbours = np.zeros((3,) * mask.ndim, bool)
    neighbours[(1,) * (mask.ndim - 2)] = True
    numbers, count = scipy.ndimage.label(mask, neighbours)
    return numbers, count


def bound_mask(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns the tightest half-open box (y0, x0, y1, x1) around a mask.

    Raises:
        ValueError: if the mask has no pixel.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        raise ValueError("Expected a mask with at least one pixel, got an empty one.")
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """Encodes a mask as COCO's uncompressed run lengths.

    Pixels are read column by column (the first column from top to bottom, then the
    second, ...); runs of 0 and 1 alternate and the first run is of 0, possibly empty.

    Args:
        mask: bool, (H, W), not empty.

    Returns:
        `size`: [H, W]; `counts`: run lengths, which add up to H * W.
    """
    pixels = mask.astype(bool).ravel(order="F")
    starts = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(np.concatenate([[0], starts, [pixels.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if pixels[0] else runs}


def decode_rle(rle: dict[str, Any]) -> np.ndarray:
    """Returns the mask, bool, (H, W), that `encode_rle` encoded.

    Raises:
        ValueError: if the runs do not add up to the size.
    """
    height, width = rle["size"]
    counts = np.asarray(rle["counts"], dtype=np.int64)
    if counts.sum() != height * width or (counts < 0).any():
        raise ValueError(
            f"Expected runs that add up to {height} x {width} pixels, got a sum of "
            f"{counts.sum()}."
        )
    values = np.arange(counts.size) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")


class Instances(NamedTuple):
    """Lesions of B images, those of each by falling score.

    Attributes:
        boxes: (y0, x0, y1, x1), pixels, float32, (B, D, 4).
        scores: probability of the class, float32, (B, D).
        labels: class, 1 to K - 1, int32, (B, D).
        valid: whether there are so many, bool, (B, D).
        masks: their pixels, bool, (B, D, H, W).
    """

    boxes: Any
    scores: Any
    labels: Any
    valid: Any
    masks: Any


def paint_probs(instances: Instances, num_classes: int) -> Any:
    """Returns a probability of each class for each pixel.

    A pixel has the class of the surest instance that covers it, with the probability
    that is its score; the rest is background's. So the pixels whose hotspot probability
    exceeds t are the union of the masks of all instances whose score exceeds t.

    Args:
        instances: of B images, numpy's or JAX's.
        num_classes: K.

    Returns:
        float32, (B, H, W, K), of the same kind.
    """
    xp = instances.scores.__array_namespace__()
    covers = instances.masks & instances.valid[:, :, None, None]
    surest = xp.max(
        xp.where(covers, instances.scores[:, :, None, None], xp.float32(0)), axis=1
    )
    # Scores fall, so the first that covers a pixel is the surest there.
    first = xp.argmax(covers, axis=1)
    batch = xp.arange(first.shape[0])[:, None, None]
    classes = xp.where(surest > 0, instances.labels[batch, first], 0)
    marked = classes[..., None] == xp.arange(num_classes)[None, None, None]
    background = xp.arange(num_classes)[None, None, None] == 0
    return xp.where(
        background,
        1 - surest[..., None],
        xp.where(marked, surest[..., None], xp.float32(0)),
    )
