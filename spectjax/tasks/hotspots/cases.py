"""What a segmentation model said about every image, ready to be scored and joined.

The number of images is N, of lesions L, of thresholds T; height and width are H and W.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spectjax.evaluation.batches import join_cases
from spectjax.input_pipeline import Examples
from spectjax.metrics.burden import Burden, measure_burden
from spectjax.metrics.lesions import Lesions, Regions, measure_lesions
from spectjax.metrics.pixel import PixelCounts, count_pixels


@dataclass(frozen=True)
class SegmentationCases:
    """Images and how a model's marks compare with the readers'.

    Attributes:
        example_ids: unique names, length N.
        patients: pseudonyms, length N.
        views: "anterior" or "posterior", length N.
        pixels: agreements and disagreements, each (N,).
        lesions: the L lesions.
        regions: how many regions are marked, (N, T).
        burden: areas and counts, each (N,).
    """

    example_ids: list[str]
    patients: list[str]
    views: list[str]
    pixels: PixelCounts
    lesions: Lesions
    regions: Regions
    burden: Burden

    def __len__(self) -> int:
        """Returns N."""
        return len(self.example_ids)

    def count_without_lesion(self) -> int:
        """Returns how many images the readers marked nothing in."""
        return int(np.sum(self.pixels.tp + self.pixels.fn == 0))


def measure_cases(
    examples: Examples, probs: np.ndarray, classes: np.ndarray
) -> SegmentationCases:
    """Compares what a model marked with what the readers marked.

    Args:
        examples: N images with truth.
        probs: hotspot probabilities, float32, (N, H, W).
        classes: the most probable classes, (N, H, W).

    Raises:
        ValueError: if the shapes do not match or a probability is not finite.
    """
    counts, spacing_mm = examples.images[..., 0], examples.spacing_mm
    lesions, regions = measure_lesions(probs, examples.masks, counts, spacing_mm)
    return SegmentationCases(
        example_ids=examples.example_ids,
        patients=examples.patients,
        views=examples.views,
        pixels=count_pixels(classes, examples.masks),
        lesions=lesions,
        regions=regions,
        burden=measure_burden(classes, examples.masks, counts, spacing_mm),
    )


def join_segmentation_cases(parts: Sequence[SegmentationCases]) -> SegmentationCases:
    """Returns the images of all parts, one after another."""
    starts = np.cumsum([0] + [len(part) for part in parts[:-1]])
    shifted = []
    for part, start in zip(parts, starts, strict=True):
        lesions = dataclasses.replace(part.lesions, image=part.lesions.image + start)
        shifted.append(dataclasses.replace(part, lesions=lesions))
    return join_cases(shifted)
